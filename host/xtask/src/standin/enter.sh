# Runs as the first process of a container's own namespaces: makes its root from the image's files over the machine's,
# mounts what it was told, and becomes the container's command.
# Arguments: ROOT IMAGE HOSTNAME WORK_DIR COUNT, COUNT times SOURCE TARGET rw|ro, then the words for env(1).
set -e
# Until the command has taken over, SIGTERM must not be lost: a first process without a handler ignores it.
trap 'exit 143' TERM
root=$1 image=$2 name=$3 work_dir=$4 count=$5
shift 5
hostname "$name"
mount -t tmpfs -o mode=755 standin "$root"
mkdir "$root/upper" "$root/work" "$root/fs"
fs=$root/fs
# The image is no layer of its own, because a layer may not lie inside another one, and the machine's root holds it.
[ -z "$image" ] || cp -R --preserve=mode,links "$image/." "$root/upper/"
mount -t overlay -o "lowerdir=/,upperdir=$root/upper,workdir=$root/work" overlay "$fs"
mkdir -p "$fs/proc" "$fs/dev" "$fs/tmp"
mount -t proc proc "$fs/proc"
mount -t tmpfs -o mode=755 standin "$fs/dev"
for device in null zero full random urandom tty; do
    : >"$fs/dev/$device"
    mount --bind "/dev/$device" "$fs/dev/$device"
done
mkdir "$fs/dev/shm"
ln -s /proc/self/fd "$fs/dev/fd"
ln -s /proc/self/fd/0 "$fs/dev/stdin"
ln -s /proc/self/fd/1 "$fs/dev/stdout"
ln -s /proc/self/fd/2 "$fs/dev/stderr"
while [ "$count" -gt 0 ]; do
    # Resolved inside the root: a link such as /var/run would lead out of it.
    target=$fs$(chroot "$fs" /usr/bin/realpath -m "$2")
    if [ -d "$1" ]; then
        mkdir -p "$target"
    else
        mkdir -p "$(dirname "$target")"
        [ -e "$target" ] || : >"$target"
    fi
    mount --bind "$1" "$target"
    [ "$3" = rw ] || mount -o remount,bind,ro "$target"
    shift 3
    count=$((count - 1))
done
chroot "$fs" /bin/mkdir -p "$work_dir"
exec chroot "$fs" /usr/bin/env -i -C "$work_dir" "$@"
