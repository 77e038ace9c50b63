# Plain processes that outlive the script that starts them, for those who source
# this: what is started is named in $dir/run, and what it says is in $dir/log.

fail() {
  echo "$(basename "$0" .sh): $*" >&2
  exit 1
}

# birth PID: when a process was started. Nothing where there is none. Numbers of
# processes are used again; the two together are not.
birth() {
  [ ! -r "/proc/$1/stat" ] || sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20
}

# running NAME: whether what was started under this name still runs.
running() {
  local pid born
  read -r pid born 2>/dev/null <"$dir/run/$1.pid" || return 1
  [ -n "$born" ] && [ "$(birth "$pid")" = "$born" ]
}

# start NAME COMMAND…: unless it runs already. What is started leads a process
# group of its own, in which all that it starts is found again.
start() {
  local name=$1 pid
  shift
  ! running "$name" || return 0
  setsid "$@" >>"$dir/log/$name.out" 2>&1 </dev/null 9>&- &
  pid=$!
  disown $pid # it outlives us: nothing is to be said of its end
  echo "$pid $(birth $pid)" >"$dir/run/$name.pid"
}

# await NAME SECONDS COMMAND…: until the command succeeds, as long as NAME runs.
await() {
  local name=$1 deadline=$((SECONDS + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    running "$name" && [ $SECONDS -lt $deadline ] || {
      tail -n 30 "$dir"/log/"$name".* >&2
      fail "$name does not come up (logs: $dir/log)"
    }
    sleep 0.1 # between two looks
  done
}

# stop NAME SIGNAL: the whole group, and wait for its end.
stop() {
  local pid born deadline=$((SECONDS + 30))
  read -r pid born 2>/dev/null <"$dir/run/$1.pid" || return 0
  if running "$1"; then
    kill -s "$2" -- "-$pid" 2>/dev/null || true
    while kill -0 -- "-$pid" 2>/dev/null; do
      if [ $SECONDS -ge $deadline ]; then
        kill -s KILL -- "-$pid" 2>/dev/null || true
      fi
      sleep 0.05 # between two looks
    done
  fi
  rm -f "$dir/run/$1.pid"
}
