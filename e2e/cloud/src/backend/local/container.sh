# A host that lets containers and nothing else: containerd runs the one that was asked for. What goes before this: IMAGE, URL, NAME,
# ENVIRONMENT (NAME=VALUE each), ARGUMENTS.
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
SOCKET=/run/containerd/containerd.sock
mkdir -p /run/containerd /var/lib/containerd
cat > /etc/containerd.toml <<END
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$SOCKET"
END
containerd --config /etc/containerd.toml > /var/log/containerd.log 2>&1 &
client() { ctr --address "$SOCKET" "$@"; }
for ((tries = 0; tries < 300; tries += 1)); do
  ! client version > /dev/null 2>&1 || break
  sleep 0.2
done
curl --fail --silent --show-error --output /var/tmp/image.tar --url "$URL"
client images import /var/tmp/image.tar > /dev/null
rm /var/tmp/image.tar
options=()
for pair in "${ENVIRONMENT[@]}"; do options+=(--env "$pair"); done
run() {
  local status=0
  echo started > /var/lib/cloud/started
  client run --rm --net-host "${options[@]}" \
    --mount type=bind,src=/etc/resolv.conf,dst=/etc/resolv.conf,options=rbind:ro \
    "$IMAGE" "$NAME" "${ARGUMENTS[@]}" || status=$?
  echo "$status" > /var/lib/cloud/exit.new
  mv /var/lib/cloud/exit.new /var/lib/cloud/exit
}
# As a vendor that takes a container back: it is asked to end, and has what is left of the notice.
mkdir -p /etc/rc0.d
cat > /etc/rc0.d/K01container <<END
#!/bin/bash
ctr --address "$SOCKET" tasks kill --signal SIGTERM "$NAME"
while [ ! -e /var/lib/cloud/exit ]; do sleep 0.2; done
END
chmod 755 /etc/rc0.d/K01container
run &
