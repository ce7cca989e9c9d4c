#!/bin/bash
# Runs when the machine is told to power off, as a vendor does that takes it back, with or without a word before. The
# cluster is told by the node's own condition PowerOff, and pods have the time that is left to write what they must.
# $1: stop
[ "${1:-stop}" = stop ] || exit 0
. /etc/cooperator/machine
key=/var/lib/cooperator/kubelet/pki/kubelet-client-current.pem
condition='{"status":{"conditions":[{"type":"PowerOff","status":"True","reason":"PowerButton","message":"its host powers it off","lastTransitionTime":"'$(date --utc +%FT%TZ)'"}]}}'
curl --silent --show-error --fail --max-time 5 --retry 3 --retry-connrefused --output /dev/null \
  --cacert /etc/cooperator/ca.crt --cert "$key" --key "$key" --request PATCH \
  --header 'Content-Type: application/strategic-merge-patch+json' --data "$condition" \
  --url "$API_SERVER/api/v1/nodes/$NODE/status" && echo "cooperator: the cluster is told"
# Each pod has a shim. Once there is none, the kubelet has to tell that they are gone.
for ((second = 0; second < 105; second += 1)); do
  pgrep --full containerd-shim-runc-v2 > /dev/null || break
  sleep 1
done
sleep 5
