# Filesystems are checked before anything is written, so the root has to be read-only for a moment
# even when the kernel was told `rw`.
msg "Remounting the root filesystem read-only..."
mount -o remount,ro / || emergency_shell

if ! grep -qw fastboot /proc/cmdline; then
	msg "Checking filesystems..."
	# 1: errors were found and corrected.
	fsck -A -T -a -t noopts=_netdev
	[ $? -gt 1 ] && emergency_shell
fi

msg "Mounting all local filesystems..."
mount -o remount,rw / || emergency_shell
mount -a -t "nosysfs,nonfs,nonfs4,nosmbfs,nocifs" -O no_netdev || emergency_shell
