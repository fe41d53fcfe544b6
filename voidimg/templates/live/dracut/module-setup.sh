#!/bin/bash
# The dracut module of Void's live systems: hooks that prepare the root before it is started.
# It is only in an initramfs that asks for it (--add void-live).

check() {
    return 255
}

depends() {
    echo dmsquash-live
}

installkernel() {
    # Where a live medium can be, and how its root is mounted; also if the kernel packs them apart.
    hostonly='' instmods ahci sr_mod usb-storage uas isofs loop squashfs overlay
}

install() {
    inst_multiple cat chmod chroot ln mkdir mv readlink rm sha256sum
    for file in lib.sh live.conf keymaps; do
        inst_simple "$moddir/$file" "/usr/lib/void-live/$file"
    done
    # After 10, where some versions of dracut make the root writable.
    inst_hook pre-pivot 30 "$moddir/live-checked.sh"
    inst_hook pre-pivot 31 "$moddir/live-user.sh"
    inst_hook pre-pivot 32 "$moddir/live-display-manager.sh"
    inst_hook pre-pivot 33 "$moddir/live-serial.sh"
    inst_hook pre-pivot 34 "$moddir/live-locale.sh"
    inst_hook pre-pivot 35 "$moddir/live-accessibility.sh"
    inst_hook pre-pivot 36 "$moddir/live-nomodeset.sh"
}
