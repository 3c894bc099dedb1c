#!/bin/sh
# Runs the netns tier of jest where nothing can leak: in network, mount and process namespaces of its own, with a private
# /run/netns. When this script ends, even by SIGKILL, every namespace, link, route and process the tests made is gone.
# Usage (as root): test/netns/run.sh [jest arguments, e.g. test/netns/routes]
set -eu
cd "$(dirname "$(readlink -f "$0")")/../.."
if [ "$(id -u)" != 0 ]; then
  echo 'test/netns/run.sh: needs root: it makes network namespaces' >&2
  exit 1
fi
mkdir -p /run/netns
exec unshare --net --mount --pid --fork --kill-child --mount-proc sh -eu -c '
  mount -t tmpfs tmpfs /run/netns
  ip link set lo up
  scripts/node --experimental-vm-modules node_modules/jest/bin/jest.js "$@" --selectProjects netns
' run.sh "$@"
