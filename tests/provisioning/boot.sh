#!/bin/bash
# Boots a real systemd of its own in namespaces, on a copy of this system's root that vanishes with it, and has it run
# WORK/probe.sh, which writes to /out (WORK). In its own cgroup, mounts and pids: nothing of the host is touched.
# Run by test_booted.py: unshare --fork --pid --mount --uts --ipc --cgroup --kill-child boot.sh WORK UNITS
set -e
work=$1 units=$2 root=$1/mount/root
mount --make-rprivate /
mkdir -p "$work/mount"
mount -t tmpfs tmpfs "$work/mount"
mkdir -p "$work"/mount/{up,scratch,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/mount/up,workdir=$work/mount/scratch" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount --rbind /dev "$root/dev"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
mkdir "$root/sys/fs/cgroup/systemd"
mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
mkdir -p "$root"/{out,opt/medgemma/current/bin,etc/medgemma,etc/systemd/system}
mount --bind "$work" "$root/out"

etc=$root/etc/systemd/system
rm -rf "$etc"/*
echo 0123456789abcdef0123456789abcdef > "$root/etc/machine-id"
cp "$units"/* "$etc"
cp "$work/program" "$root/opt/medgemma/current/bin/medgemma-tui"
cp "$work/on-unfit" "$root/etc/medgemma/on-unfit"
chmod 755 "$root/opt/medgemma/current/bin/medgemma-tui" "$root/etc/medgemma/on-unfit"
grep -q '^medgemma:' "$root/etc/passwd" || echo 'medgemma:x:979:979::/nonexistent:/usr/sbin/nologin' >> "$root/etc/passwd"
grep -q '^medgemma:' "$root/etc/group" || echo 'medgemma:x:979:' >> "$root/etc/group"
printf '%s\n' '[Unit]' 'DefaultDependencies=no' 'After=systemd-journald.service' '[Service]' 'Type=oneshot' \
    'ExecStart=/bin/bash /out/probe.sh' 'TimeoutStartSec=60' > "$etc/probe.service"
printf '%s\n' '[Unit]' 'Wants=systemd-journald.service probe.service' 'After=systemd-journald.service' \
    'AllowIsolate=yes' > "$etc/probe.target"
export container=other
exec chroot "$root" /lib/systemd/systemd --system --unit=probe.target --log-target=null
