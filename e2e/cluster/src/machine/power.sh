# bash -ec THIS bash NAME DISK INIT POINT OPTIONS ...: becomes the first process of a machine; runs as the first process of a
# process namespace. Every mount is seen by the machine alone, and goes with its last process.
name=$1 disk=$2 init=$3
shift 3
hierarchies=("$@")
for ((i = 0; i < $#; i += 2)); do
  group=${hierarchies[i]}/coop/machine-$name
  [ ! -d "$group" ] || echo 0 > "$group/cgroup.procs"
done
exec unshare --mount --propagation private --uts --ipc --cgroup --mount-proc bash -ec "$init" bash "$name" "$disk" "$@"
