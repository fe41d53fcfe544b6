# Grows the root partition and filesystem to the end of the disk, if /etc/default/growpart says so.
ENABLE_ROOT_GROWPART=
[ -r /etc/default/growpart ] && . /etc/default/growpart

if [ -n "$ENABLE_ROOT_GROWPART" ]; then
	growpart_device=$(findmnt -n -r -o SOURCE /)
	growpart_type=$(findmnt -n -r -o FSTYPE /)
	growpart_disk=$(lsblk -n -d -r -o PKNAME "$growpart_device" 2>/dev/null)
	growpart_name=${growpart_device##*/}
	growpart_number=$(cat "/sys/class/block/$growpart_name/partition" 2>/dev/null)
	if [ -n "$growpart_disk" ] && [ -n "$growpart_number" ]; then
		msg "Growing the root partition..."
		# NOCHANGE (status 1) is fine: there may be nothing to grow.
		growpart "/dev/$growpart_disk" "$growpart_number"
		case "$growpart_type" in
		ext2 | ext3 | ext4) resize2fs "$growpart_device" ;;
		f2fs) resize.f2fs "$growpart_device" ;;
		xfs) xfs_growfs / ;;
		esac
	fi
fi
