# bash -ec THIS bash DISK: the first process of a machine that has the host's programs and network, and a disk of its own.
mount --bind "$1" /mnt
mount -t tmpfs -o mode=755 tmpfs /run
for folder in etc opt root tmp var; do mount --bind "/mnt/$folder" "/$folder"; done
umount /mnt
install_sshd
# Programs that are found before all others.
mount --bind /opt/before /usr/local/sbin
: > /opt/up
# It takes in those whose parents are gone.
while :; do
  sleep 3600 &
  wait $! || true
done
