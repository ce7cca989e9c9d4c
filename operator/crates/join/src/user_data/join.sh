# Makes this machine a node of the cluster that rented it. Written by Cooperator; runs once, at the first start, as root.
set -euo pipefail
trap 'echo "cooperator: line $LINENO failed; this machine is no node" >&2' ERR
umask 022
BASE=/opt/cooperator CONFIG=/etc/cooperator STATE=/var/lib/cooperator LOG=/var/log/cooperator
SOCKET=/run/cooperator/containerd.sock
export PATH="$BASE/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
say() { echo "cooperator: $*"; }
# put MODE FILE TEXT
put() {
  install -D -m "$1" /dev/null "$2"
  printf '%s' "$3" > "$2"
}
# fetch NAME SHA256 URL
fetch() {
  curl --fail --silent --show-error --location --globoff --proto '=http,https' --retry 8 --retry-delay 2 \
    --retry-connrefused --connect-timeout 15 --max-time 1800 --output "$STATE/fetched/$1" --url "$3"
  echo "$2  $STATE/fetched/$1" | sha256sum --check --status || {
    say "$1: what came has another sha256 than $2" >&2
    return 1
  }
}
# place FORM NAME
place() {
  local file=$STATE/fetched/$2
  case $1 in
    program) install -m 755 "$file" "$BASE/bin/$2" ;;
    programs) tar --extract --gzip --no-same-owner --file "$file" --directory "$BASE" ;;
    plugin) install -m 755 "$file" "$BASE/plugins/$2" ;;
    plugins) tar --extract --gzip --no-same-owner --file "$file" --directory "$BASE/plugins" ;;
    image) return ;;
  esac
  rm "$file"
}
# start NAME PROGRAM ARGUMENT...: now, and again whenever it ends
start() {
  local name=$1 run=$BASE/bin/run-$1
  shift
  {
    echo '#!/bin/bash'
    printf 'export PATH=%q\nexec' "$PATH"
    printf ' %q' "$@"
    echo
  } > "$run"
  chmod 755 "$run"
  if [ "$DRIVER" = systemd ]; then
    put 644 "/etc/systemd/system/cooperator-$name.service" "[Unit]
Description=$name, for Cooperator
Wants=network-online.target
After=network-online.target
[Service]
ExecStart=$run
Restart=always
RestartSec=2
Delegate=yes
KillMode=process
OOMScoreAdjust=-999
LimitNOFILE=1048576
TasksMax=infinity
[Install]
WantedBy=multi-user.target
"
    systemctl daemon-reload
    systemctl enable --now "cooperator-$name.service"
  else
    setsid bash -c 'while :; do "$0"; sleep 2; done' "$run" >> "$LOG/$name.log" 2>&1 < /dev/null &
  fi
}

say "joining as node $NODE for claim $CLAIM"
mkdir -p "$BASE/bin" "$BASE/plugins" "$STATE/fetched" "$LOG"
fetches=()
for ((i = 0; i < ${#ARTIFACTS[@]}; i += 4)); do
  fetch "${ARTIFACTS[@]:i+1:3}" &
  fetches+=($!)
done
for id in "${fetches[@]}"; do wait "$id"; done
for ((i = 0; i < ${#ARTIFACTS[@]}; i += 4)); do place "${ARTIFACTS[@]:i:2}"; done
for program in bin/kubelet bin/containerd bin/containerd-shim-runc-v2 bin/runc plugins/ptp plugins/host-local \
  ${TUNNEL:+bin/cooperator-tunnel}; do
  [ -x "$BASE/$program" ] || { say "no artifact holds $program" >&2; exit 1; }
done
# What pods send is hidden behind the machine's address by iptables.
command -v iptables > /dev/null || {
  apt-get -qq update
  DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends iptables
}

if [ -d /run/systemd/system ]; then DRIVER=systemd GROUPS_BY_SYSTEMD=true; else DRIVER=cgroupfs GROUPS_BY_SYSTEMD=false; fi
# Where not even root may lower an OOM score (a machine inside a container), runc would die of trying.
KEEP_SCORES=false
(echo -1000 > /proc/self/oom_score_adj) 2> /dev/null || KEEP_SCORES=true
# Gives GPUs to containers, where the machine's image has it; it calls runc.
RUNTIME=$(command -v nvidia-container-runtime || echo "$BASE/bin/runc")
RESOLV=/etc/resolv.conf
[ ! -s /run/systemd/resolve/resolv.conf ] || RESOLV=/run/systemd/resolve/resolv.conf
[ -e "$RESOLV" ] || RESOLV=

put 644 "$CONFIG/ca.crt" "$AUTHORITY"
put 600 "$CONFIG/bootstrap.json" "$BOOTSTRAP"
put 644 "$CONFIG/machine" "API_SERVER=$(printf %q "$API_SERVER") NODE=$NODE
"
put 644 "$CONFIG/kubelet.json" "$KUBELET"
put 644 "$CONFIG/network/10-cooperator.conflist" "$NETWORK"
put 644 "$CONFIG/containerd.toml" "version = 2
root = \"$STATE/containerd\"
state = \"/run/cooperator/containerd\"
[grpc]
  address = \"$SOCKET\"
[plugins.\"io.containerd.internal.v1.opt\"]
  path = \"$BASE/containerd\"
[plugins.\"io.containerd.grpc.v1.cri\"]
  restrict_oom_score_adj = $KEEP_SCORES
  sandbox_image = \"$SANDBOX_IMAGE\"
  [plugins.\"io.containerd.grpc.v1.cri\".cni]
    bin_dir = \"$BASE/plugins\"
    conf_dir = \"$CONFIG/network\"
  [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]
    runtime_type = \"io.containerd.runc.v2\"
    [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]
      BinaryName = \"$RUNTIME\"
      Root = \"/run/cooperator/runc\"
      SystemdCgroup = $GROUPS_BY_SYSTEMD
$CONTAINERD
"
start containerd "$BASE/bin/containerd" --config "$CONFIG/containerd.toml"
for ((i = 0; i < ${#ARTIFACTS[@]}; i += 4)); do
  [ "${ARTIFACTS[i]}" = image ] || continue
  for ((tries = 0; tries < 300; tries += 1)); do
    [ ! -S "$SOCKET" ] || ! "$BASE/bin/ctr" --address "$SOCKET" version > /dev/null 2>&1 || break
    sleep 0.2
  done
  "$BASE/bin/ctr" --address "$SOCKET" --namespace k8s.io images import "$STATE/fetched/${ARTIFACTS[i+1]}"
  rm "$STATE/fetched/${ARTIFACTS[i+1]}"
done
start kubelet "$BASE/bin/kubelet" --config="$CONFIG/kubelet.json" --bootstrap-kubeconfig="$CONFIG/bootstrap.json" \
  --kubeconfig="$STATE/kubelet/kubeconfig" --cert-dir="$STATE/kubelet/pki" --root-dir="$STATE/kubelet" \
  --hostname-override="$NODE" --node-labels="$LABELS" --cgroup-driver="$DRIVER" --resolv-conf="$RESOLV" \
  ${TUNNEL:+--cloud-provider=external --node-ip=0.0.0.0}
# By this connection the API server reaches the kubelet, once the kubelet has the certificate that is shown there.
if [ -n "${TUNNEL:-}" ]; then
  put 644 "$CONFIG/tunnel.crt" "$TUNNEL_AUTHORITY"
  start tunnel "$BASE/bin/cooperator-tunnel" --server "$TUNNEL" --authority "$CONFIG/tunnel.crt" \
    --certificate "$STATE/kubelet/pki/kubelet-client-current.pem" --target "127.0.0.1:$TUNNEL_PORT"
fi
put 755 "$BASE/bin/power-off" "$POWER_OFF"
if [ "$DRIVER" = systemd ]; then
  # Units are stopped in the reverse of the order in which they are started: this one first.
  put 644 /etc/systemd/system/cooperator-power-off.service "[Unit]
Description=word that this machine powers off, for Cooperator
After=cooperator-kubelet.service cooperator-containerd.service network-online.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=$BASE/bin/power-off stop
TimeoutStopSec=120
[Install]
WantedBy=multi-user.target
"
  systemctl daemon-reload
  systemctl enable --now cooperator-power-off.service
else
  mkdir -p /etc/rc0.d
  ln --symbolic --force "$BASE/bin/power-off" /etc/rc0.d/K01cooperator
fi
say "containerd and kubelet run"
