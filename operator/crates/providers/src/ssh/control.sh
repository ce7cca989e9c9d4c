# What Cooperator does on a machine of a member's own, as root: it reads who has it, starts one instance, ends it. All of
# this is read before the last line is run, so that a connection that breaks runs nothing.
set -eu
umask 077
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ROOT=
STATE=$ROOT/var/lib/cooperator RECORD=$ROOT/var/lib/cooperator/instance UNITS=$ROOT/etc/systemd/system
RUN=$ROOT/run/cooperator PROGRAMS=$ROOT/opt/cooperator CONFIG=$ROOT/etc/cooperator LOGS=$ROOT/var/log/cooperator
boot() { cat /proc/sys/kernel/random/boot_id; }
has_systemd() { [ -d "$ROOT/run/systemd/system" ]; }
holder() { sed -n 1p "$RECORD" 2> /dev/null || true; }
# Who has the machine and how far that is, a word and its value a line.
look() {
  folder=$STATE
  [ -d "$folder" ] || folder=$ROOT/
  echo "disk $(df -kP "$folder" | awk 'NR == 2 { print int($4 / 1048576) }')"
  name=$(holder)
  if [ -z "$name" ]; then
    echo free
  elif [ -e "$STATE/ending" ]; then
    echo "taken $name ending"
  elif [ -e "$STATE/first-start.status" ] && [ "$(cat "$STATE/first-start.status")" != 0 ]; then
    echo "taken $name failed"
    echo "said $(tail -n 1 "$STATE/first-start.log" | tr -d '\r' | cut -c 1-200)"
  elif [ ! -e "$STATE/first-start.began" ]; then
    echo "taken $name pending"
  elif ! has_systemd && [ "$(sed -n 2p "$RECORD")" != "$(boot)" ]; then
    echo "taken $name failed"
    echo "said it was restarted, and without systemd nothing starts again what ran there"
  else
    echo "taken $name running"
  fi
}
# Has files or folders outlast a loss of power, and does not wait for what others write.
keep() { sync "$@" 2> /dev/null || sync; }
# Takes the machine for an instance and starts its script, unless somebody has it.
create() {
  mkdir -p "$STATE"
  fresh=$STATE/.fresh.$$
  trap 'rm -f "$fresh" "$fresh.record"' EXIT
  trap 'exit 1' PIPE
  payload > "$fresh"
  chmod 700 "$fresh"
  printf '%s\n%s\n' "$1" "$(boot)" > "$fresh.record"
  keep "$fresh" "$fresh.record"
  # Whoever is gone by now has perhaps looked already, and found it free: for them it is not taken any more.
  echo taking
  # A link is made whole, and by one alone: from here on the machine itself knows what it runs.
  if ln "$fresh.record" "$RECORD" 2> /dev/null; then
    keep "$STATE"
    mv "$fresh" "$STATE/first-start"
    start "$1"
  fi
  look
}
start() {
  run=': > "$0.began"; "$0" > "$0.log" 2>&1 < /dev/null; echo $? > "$0.status"'
  if has_systemd; then
    systemd-run --quiet --collect --unit=cooperator-first-start --property=KillMode=process \
      --setenv=COOPERATOR_INSTANCE="$1" /bin/sh -c "$run" "$STATE/first-start"
  else
    COOPERATOR_INSTANCE=$1 setsid /bin/sh -c "$run" "$STATE/first-start" > /dev/null 2>&1 < /dev/null &
  fi
}
# Processes of an instance: those that its script started, its programs, and whatever runs in one of its containers.
processes() {
  {
    grep -lzx "COOPERATOR_INSTANCE=$1" /proc/[0-9]*/environ 2> /dev/null || true
    ls -l /proc/[0-9]*/exe 2> /dev/null | sed -n "s| -> $PROGRAMS/.*||p" | sed 's|.* /proc/|/proc/|' || true
    grep -lE "^[0-9]+ [0-9]+ [0-9:]+ / / .*upperdir=$STATE/" /proc/[0-9]*/mountinfo 2> /dev/null || true
  } | sed -n 's|^/proc/\([0-9]*\)/.*|\1|p' | sort -u
}
mounts() { awk -v a="$STATE/" -v b="$RUN/" 'index($2, a) == 1 || index($2, b) == 1 { print $2 }' /proc/mounts | sort -r; }
# Ends an instance: what it runs, what it mounted, what it wrote; its record last. As often as one likes.
delete() {
  if [ "$(holder)" != "$1" ]; then
    echo gone
    return
  fi
  : > "$STATE/ending"
  # Nothing is to be told and no pod waited for, as when the machine powers off.
  rm -f "$PROGRAMS/bin/power-off" "$ROOT/etc/rc0.d/K01cooperator"
  if has_systemd; then
    systemctl stop cooperator-first-start.service 2> /dev/null || true
    for unit in "$UNITS"/cooperator-*.service; do
      [ -e "$unit" ] || continue
      systemctl disable --now "$(basename "$unit")" 2> /dev/null || true
      rm -f "$unit"
    done
    systemctl daemon-reload
  fi
  namespaces=$(grep -rhos '/run/netns/cni-[0-9a-f-]*' "$RUN/containerd" --include=config.json | sort -u || true)
  tries=0
  while left=$(processes "$1") && [ -n "$left" ]; do
    tries=$((tries + 1))
    if [ "$tries" -gt 50 ]; then
      echo "ending processes $(echo "$left" | tr '\n' ' ')"
      return
    fi
    # shellcheck disable=SC2086
    kill -KILL $left 2> /dev/null || true
    sleep 0.1
  done
  for namespace in $namespaces; do
    umount -l "$namespace" 2> /dev/null || true
    rm -f "$namespace"
  done
  mounts | while read -r mount; do umount -l "$mount" 2> /dev/null || true; done
  if [ -n "$(mounts)" ]; then
    echo "ending mounts $(mounts | tr '\n' ' ')"
    return
  fi
  unhide
  sweep
  rm -rf "$RUN" "$PROGRAMS" "$CONFIG" "$LOGS"
  find "$STATE" -mindepth 1 -maxdepth 1 ! -name instance ! -name ending -exec rm -rf {} +
  rm -f "$STATE/ending"
  rm -f "$RECORD"
  keep "$STATE"
  echo gone
}
# What its programs put into folders that they share with others of their kind, whoever runs them.
sweep() {
  find "$ROOT/var/log/containers" -lname "$LOGS/*" -delete 2> /dev/null || true
  rm -f "$ROOT"/var/lib/cni/results/cooperator-*
  for address in "$RUN"/containerd/io.containerd.runtime.v2.task/*/*/address; do
    [ ! -e "$address" ] || rm -f "$ROOT$(sed 's|^unix://||' "$address")"
  done
  socket=/var/lib/kubelet/device-plugins/kubelet.sock
  grep -qs "$socket" /proc/net/unix || rm -f "$ROOT$socket"
}
# Rules by which the machine hid its pods: each says whose it is.
unhide() {
  [ -z "$ROOT" ] && command -v iptables > /dev/null || return 0
  iptables -w 5 -t nat -S 2> /dev/null | sed -n 's/^-A \(.*name: \\"cooperator\\".*\)$/-D \1/p' | while read -r rule; do
    chain=$(echo "$rule" | sed -n 's/.*-j \(CNI-[0-9a-f]*\).*/\1/p')
    echo "$rule" | xargs iptables -w 5 -t nat 2> /dev/null || true
    [ -z "$chain" ] || { iptables -w 5 -t nat -F "$chain" && iptables -w 5 -t nat -X "$chain"; } 2> /dev/null || true
  done
}
