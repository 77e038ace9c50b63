#!/usr/bin/env bash
# The demo: a shop of three services, each with a database on a real PostgreSQL
# server, is planned, applied, looked at, repaired, killed halfway, resumed and
# destroyed. "make demo" builds what it needs. Nothing is left behind except the
# folder .cache/demo.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
demo=$root/.cache/demo
export PATH=$root/bin:$PATH
export TF_CLI_CONFIG_FILE=$root/.cache/terraformrc
export XDG_CONFIG_HOME=$demo/config # the key of the store is made here

bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then
  bold=$'\e[1m' plain=$'\e[0m'
fi

say() { printf '\n%s── %s%s\n' "$bold" "$*" "$plain"; }
show() { printf '%s$ %s%s\n' "$bold" "$*" "$plain"; }
run() {
  show "$@"
  "$@"
}
fail() {
  echo "demo: $*" >&2
  exit 1
}
# expect CODE COMMAND…: run a command that is to end with this exit code. The
# lines that tell what is being looked at are left out.
expect() {
  local want=$1 code=0
  shift
  show "$@"
  "$@" >output.txt 2>&1 || code=$?
  grep -vE ': (Refreshing state|Reading|Read complete)' output.txt
  [ "$code" = "$want" ] || fail "exit code $code instead of $want: $*"
}

finish() {
  [ -z "${locker-}" ] || kill "$locker" 2>/dev/null || true
  [ -z "${applying-}" ] || kill -9 "$applying" 2>/dev/null || true
  "$root/scripts/postgres.sh" stop "$demo" || true
}
trap finish EXIT

"$root/scripts/postgres.sh" stop "$demo"
rm -rf "$demo"
mkdir -p "$demo"
cp -r examples/shop "$demo/shop"
say "A PostgreSQL server of its own"
eval "$("$root/scripts/postgres.sh" start "$demo")"
echo "listening on $PGHOST:$PGPORT"
export TF_VAR_pg_port=$PGPORT
cd "$demo/shop"

say "Install the providers, plan, and apply exactly that plan"
run tutti init
show tutti plan -out=first.plan
tutti plan -out=first.plan >plan.txt
grep -E '^Plan:|^Saved' plan.txt || cat plan.txt
run tutti apply first.plan
[ "$(psql -Atc "select count(*) from pg_database where datname like 'shop_%'")" = 3 ] || fail "the databases are not there"

say "Nothing has changed, so nothing is to do"
expect 0 tutti plan -detailed-exitcode

say "Somebody changes a database by hand and deletes a file"
run psql -qc 'alter database shop_cart connection limit 1'
run rm etc/orders.ini
say "The plan finds both"
expect 2 tutti plan -detailed-exitcode
say "Apply repairs them"
expect 0 tutti apply -auto-approve
expect 0 tutti plan -detailed-exitcode

say "A fourth service is added; the apply is killed while its database is created"
cat >services.auto.tfvars <<'TFVARS'
services = {
  cart     = { replicas = 2 }
  catalog  = { replicas = 3, connections = 20 }
  orders   = {}
  payments = { connections = 50 }
}
TFVARS
# The server is kept from creating databases, so that there is something to kill.
mkfifo lock
psql -q <lock &
locker=$!
exec 8>lock
echo 'begin; lock table pg_database in share mode; select 1 \g /dev/null' >&8
waiting() { psql -Atc "select count(*) from pg_locks l join pg_stat_activity a using (pid) where not l.granted and a.query like 'CREATE DATABASE%'"; }
creating() { psql -Atc "select count(*) from pg_stat_activity where query like 'CREATE DATABASE%' and state = 'active'"; }
show 'tutti apply -auto-approve &'
tutti apply -auto-approve >apply.txt 2>&1 &
applying=$!
until [ "$(waiting)" = 1 ]; do
  kill -0 "$applying" 2>/dev/null || { cat apply.txt; fail "the apply ended too soon"; }
done
show "kill -9 $applying"
kill -9 "$applying"
wait "$applying" 2>/dev/null || true
applying=
grep -E 'Creating\.\.\.|Creation complete' apply.txt || true
# The server goes on with what it was asked for; nobody hears its answer.
exec 8>&-
wait "$locker" || true
locker=
until [ "$(creating)" = 0 ]; do :; done
say "The server did create the database, but nobody heard it"
run psql -Atc "select datname from pg_database where datname like 'shop_%' order by 1"

say "Every intent was on disk: the run is resumed, what was made is found again"
run tutti runs
expect 0 tutti resume -auto-approve
expect 0 tutti plan -detailed-exitcode
run tutti runs

say "What there is"
run tutti output services
run tutti state history 'module.database.pg_database.service["cart"]'

say "Destroy everything"
show tutti destroy -auto-approve
tutti destroy -auto-approve >destroy.txt || { cat destroy.txt; fail "not everything was destroyed"; }
grep -E '^Plan:|Destruction complete|^Destroy complete' destroy.txt
[ "$(psql -Atc "select count(*) from pg_database where datname like 'shop_%'")" = 0 ] || fail "databases are left"
[ -z "$(ls etc 2>/dev/null)" ] || fail "files are left"
say "Nothing is left on the server"

say "A project of stacks, and a workflow around them, killed halfway as well"
cp -r "$root/examples/project" "$demo/project"
cd "$demo/project"
run tutti workflow validate
show tutti plan -env=dev
tutti plan -env=dev >plan.txt
grep -E '^Stack |^Plan:|^Total' plan.txt
show tutti run -detach release -env=dev
id=$(tutti run -detach release -env=dev)
tutti runner -once >runner.txt 2>&1 &
applying=$!
until tutti logs "$id" 2>/dev/null | grep -q 'Creating'; do
  kill -0 "$applying" 2>/dev/null || break # it was faster
done
show "kill -9 $applying"
kill -9 "$applying" 2>/dev/null || true
wait "$applying" 2>/dev/null || true
applying=
run tutti runner -once
run tutti runs
expect 0 tutti logs "$id" look
expect 0 tutti plan -env=dev -detailed-exitcode
show tutti destroy -env=dev -auto-approve
tutti destroy -env=dev -auto-approve | grep -E '^Destroy complete'

say "A release is tested before it is run: mocked, on a clock of its own"
cp -r "$root/examples/release" "$demo/release"
cd "$demo/release"
run tutti workflow test
say "Done"
