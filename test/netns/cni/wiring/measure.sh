#!/bin/sh
# Measures src/cni/wiring in namespaces of its own; usage (as root): test/netns/cni/wiring/measure.sh
set -eu
cd "$(dirname "$(readlink -f "$0")")/../../../.."
mkdir -p /run/netns
exec unshare --net --mount --pid --fork --kill-child --mount-proc sh -eu -c '
  mount -t tmpfs tmpfs /run/netns
  ip link set lo up
  echo 1 > /proc/sys/net/ipv4/ip_forward
  echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
  scripts/node test/netns/cni/wiring/measure.ts
'
