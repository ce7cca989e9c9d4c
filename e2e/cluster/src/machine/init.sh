# bash -ec THIS bash NAME DISK POINT OPTIONS ...: the machine starts. It has a disk of its own, its own cgroups at the root of
# the hierarchies, programs of the host that it cannot change, and no systemd.
hostname "$1"
mount --bind "$2" /mnt
shift 2
while [ $# -gt 0 ]; do
  umount "$1"
  if [ -n "$2" ]; then
    mount -t cgroup -o "$2" cgroup "$1"
  else
    mount -t cgroup2 cgroup2 "$1"
    # A group with processes passes no controllers on: the first process moves out of the way.
    [ ! -e "$1/cgroup.controllers" ] || [ ! -s "$1/cgroup.controllers" ] || { mkdir -p "$1/init"; echo 0 > "$1/init/cgroup.procs"; }
  fi
  shift 2
done
mount -t tmpfs -o mode=755 tmpfs /run
for folder in etc opt root tmp var; do mount --bind "/mnt/$folder" "/$folder"; done
umount /mnt
mount -o remount,bind,ro /
cd /
echo "the machine is up"
# As cloud-init does at the first start.
env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  /var/lib/cloud/instance/user-data.txt < /dev/null && status=0 || status=$?
echo "user-data ended with status $status"
# The first process takes in those whose parents are gone, until somebody presses the power button.
pressed=
trap 'pressed=yes' PWR
while [ -z "$pressed" ]; do
  sleep 3600 &
  wait $! || true
done
echo "the machine powers off"
for stop in /etc/rc0.d/K*; do
  [ ! -x "$stop" ] || "$stop" stop || true
done
echo "the machine is off"
