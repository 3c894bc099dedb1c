#!/bin/sh
# Runs the uml tier of jest inside user-mode-linux: a kernel with IP-in-IP and other modules that the host's may lack, as a process.
# It sees the host's files read-only; what it writes goes to memory of its own, and what it reports to a folder that is removed
# at the end. The guest ends with this script even if that is killed; a folder left behind then is removed by the next run.
# Usage (as root): test/uml/run.sh [jest arguments, e.g. test/uml/tunnel.test.ts], or test/uml/run.sh -- PROGRAM [ARGUMENTS]
set -eu
cd "$(dirname "$(readlink -f "$0")")/../.."
if [ "$(id -u)" != 0 ]; then
  echo 'test/uml/run.sh: needs root: tests make network namespaces' >&2
  exit 1
fi
command -v linux.uml >/dev/null || { echo 'test/uml/run.sh: needs the Debian package user-mode-linux' >&2; exit 1; }

scratch=${TMPDIR:-/tmp}
for left in "$scratch"/fibula-uml-*/owner; do
  [ ! -e "$left" ] || kill -0 "$(cat "$left")" 2>/dev/null || rm -rf "${left%/owner}"
done
job=$(mktemp -d "$scratch/fibula-uml-XXXXXX")
echo $$ >"$job/owner.new"
mv "$job/owner.new" "$job/owner" # never there and empty: another run would take it for left behind
trap 'rm -rf "$job"' EXIT
trap 'exit 130' INT TERM

# jest writes its report where the guest may write, and it is copied to where it was asked for.
report=''
if [ "${1:-}" = -- ]; then
  shift
else
  for argument; do
    shift
    case $argument in
      --outputFile=*) report=${argument#--outputFile=} && set -- "$@" --outputFile=/run/job/report ;;
      *) set -- "$@" "$argument" ;;
    esac
  done
  set -- scripts/node --experimental-vm-modules --disable-warning=ExperimentalWarning node_modules/jest/bin/jest.js \
    "$@" --selectProjects uml --runInBand --cacheDirectory=/run/jest
fi
quoted=''
for argument; do quoted="$quoted '$(printf %s "$argument" | sed "s/'/'\\\\''/g")'"; done
{
  echo "cd '$PWD'"
  for name in CI FIBULA FIBULA_CNI; do # what tests go by
    eval "value=\${$name:-}"
    [ -z "$value" ] || echo "export $name='$value'"
  done
  echo "exec$quoted"
} >"$job/command"

# The kernel is a process with many children: in a process namespace of their own they all end with the first of them.
HOME=$job TMPDIR=$job setpriv --pdeathsig KILL unshare --pid --fork --kill-child --mount-proc linux.uml \
  rootfstype=hostfs rootflags=/ ro mem=1536M init="$PWD/test/uml/init.sh" umljob="$job" umltree="$PWD" uml_dir="$job/" \
  con=null con0=null,fd:2 quiet loglevel=3 </dev/null >"$job/console" 2>&1 &
guest=$!
trap 'kill -9 $guest 2>/dev/null; exit 130' INT TERM
touch "$job/log"
tail --pid=$guest -n +1 -f "$job/log" -s 0.2 >&2 &
wait $guest || true # not for tail: a signal that comes while a shell waits is heeded at once
wait || true

[ -z "$report" ] || [ ! -e "$job/report" ] || cp "$job/report" "$report"
if [ ! -e "$job/status" ]; then
  echo 'test/uml/run.sh: the guest ended without a word; its console said:' >&2
  tail -40 "$job/console" >&2
  exit 1
fi
exit "$(cat "$job/status")"
