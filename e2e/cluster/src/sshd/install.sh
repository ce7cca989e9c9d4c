# Lays OpenSSH's programs over this machine's, which has a /run and an /opt of its own.
mount -t overlay overlay -o lowerdir=/opt/openssh/usr:/usr /usr
mkdir -p -m 755 /run/sshd
