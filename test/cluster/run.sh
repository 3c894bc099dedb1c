#!/bin/sh
# Runs a program of test/cluster where nothing can leak: in network, mount and process namespaces of its own, with a private /run/netns,
# its files in memory, and its own layer over the folders that container runtimes write to. When this script ends, even by SIGKILL,
# every process, namespace, link, mount and file of the cluster is gone; empty cgroups that a SIGKILL leaves are removed by the next run.
# Usage (as root): test/cluster/run.sh PROGRAM.ts [arguments]
set -eu
cd "$(dirname "$(readlink -f "$0")")/../.."
if [ "$(id -u)" != 0 ]; then
  echo 'test/cluster/run.sh: needs root: it makes namespaces' >&2
  exit 1
fi

# sweep PID: the cgroups and the folder of a run that is over. Only rmdir: what is in use, or not ours, stays.
sweep() {
  for each in /sys/fs/cgroup/*/fibula-cluster-"$1" /sys/fs/cgroup/fibula-cluster-"$1"; do
    [ ! -d "$each" ] || find "$each" -depth -type d -exec rmdir {} \; 2>/dev/null || true
  done
  rmdir "${TMPDIR:-/tmp}/fibula-cluster-$1" 2>/dev/null || true
  rm -f "${TMPDIR:-/tmp}/fibula-cluster-$1.tar"
}
for each in /sys/fs/cgroup/*/fibula-cluster-* /sys/fs/cgroup/fibula-cluster-* "${TMPDIR:-/tmp}"/fibula-cluster-*; do
  pid=${each##*-}
  pid=${pid%.tar}
  [ ! -e "$each" ] || [ -d "/proc/$pid" ] || sweep "$pid"
done

FIBULA_CLUSTER_DIR=${TMPDIR:-/tmp}/fibula-cluster-$$
FIBULA_CLUSTER_CGROUP=fibula-cluster-$$
export FIBULA_CLUSTER_DIR FIBULA_CLUSTER_CGROUP
mkdir -p /run/netns "$FIBULA_CLUSTER_DIR"
case " $* " in
  *' --network bridge '*) ;;
  *) # here, because what it installs comes from outside
    FIBULA_IMAGE=$FIBULA_CLUSTER_DIR.tar
    export FIBULA_IMAGE
    scripts/image "$FIBULA_IMAGE" || { sweep $$; exit 1; }
    ;;
esac
setpriv --pdeathsig KILL unshare --net --mount --pid --fork --kill-child --mount-proc sh -eu -c '
  mount -t tmpfs tmpfs /run/netns
  mount -t tmpfs -o mode=755 tmpfs "$FIBULA_CLUSTER_DIR"
  for each in etc opt usr var; do
    mkdir -p "$FIBULA_CLUSTER_DIR/layers/$each/upper" "$FIBULA_CLUSTER_DIR/layers/$each/work"
    mount -t overlay -o "lowerdir=/$each,upperdir=$FIBULA_CLUSTER_DIR/layers/$each/upper,workdir=$FIBULA_CLUSTER_DIR/layers/$each/work" overlay "/$each"
  done
  ip link set lo up
  trap "kill \$child" TERM
  scripts/node "$@" &
  child=$!
  wait $child
' run.sh "$@" &
inside=$!
# The program gets a chance to say what it found; then the namespaces end, and with them everything.
trap 'kill -TERM $(cat "/proc/$inside/task/$inside/children") 2>/dev/null || true' TERM INT
status=0
wait $inside || status=$?
if [ $status -gt 128 ] && [ -d "/proc/$inside" ]; then # interrupted: wait for the end, but not for ever
  timeout 20 tail --pid="$inside" -f /dev/null || kill -KILL "$inside"
fi
sweep $$
exit $status
