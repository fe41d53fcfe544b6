"""The checks that `voidimg lint` makes: one table. A new check is a function and a line here."""

from __future__ import annotations

from voidimg.lint import board_checks as board
from voidimg.lint import container_checks as container
from voidimg.lint import content_checks as content
from voidimg.lint import disk_checks as disk
from voidimg.lint import grub_checks as grub
from voidimg.lint import iso_checks as iso
from voidimg.lint import live_checks as live
from voidimg.lint import netboot_checks as netboot
from voidimg.lint import pi_checks as pi
from voidimg.lint import pi_start_checks as start
from voidimg.lint import tree_checks as tree
from voidimg.lint.model import LintCheck, Severity

_ERROR: Severity = "error"
_WARNING: Severity = "warning"

CHECKS: tuple[LintCheck, ...] = (
    # What was installed, whatever holds it.
    LintCheck.of(tree.root_tree, _ERROR, tree.is_system),
    LintCheck.of(tree.packages_configured, _ERROR, tree.has_tree),
    LintCheck.of(tree.script_promises, _ERROR, tree.has_tree),
    LintCheck.of(tree.script_ownership, _WARNING, tree.has_tree),
    LintCheck.of(tree.service_exists, _ERROR, tree.has_tree),
    LintCheck.of(tree.root_password, _ERROR, tree.has_tree),
    LintCheck.of(tree.empty_password, _ERROR, tree.has_tree),
    LintCheck.of(tree.public_password, _ERROR, tree.has_tree),
    LintCheck.of(tree.unasked_root, _WARNING, tree.has_tree),
    LintCheck.of(tree.host_key, _ERROR, tree.has_tree),
    LintCheck.of(tree.machine_identity, _ERROR, tree.has_tree),
    LintCheck.of(tree.shared_secret, _WARNING, tree.has_tree),
    LintCheck.of(tree.resolv_conf, _ERROR, tree.has_tree),
    LintCheck.of(tree.builder_path, _WARNING, tree.has_tree),
    LintCheck.of(tree.leftover, _WARNING, tree.has_tree),
    LintCheck.of(tree.greeter_layout, _ERROR, tree.has_lightdm),
    LintCheck.of(tree.greeter_session, _ERROR, tree.has_lightdm),
    # Every file and filesystem, to the end.
    LintCheck.of(content.package_files, _ERROR, tree.has_tree, deep=True),
    LintCheck.of(content.package_conf_files, _WARNING, tree.has_tree, deep=True),
    LintCheck.of(content.package_modes, _WARNING, tree.has_tree, deep=True),
    LintCheck.of(content.package_programs, _ERROR, tree.has_tree, deep=True),
    LintCheck.of(content.fat_sound, _ERROR, disk.has_fat, deep=True),
    LintCheck.of(content.ext4_sound, _ERROR, disk.has_root, deep=True),
    LintCheck.of(content.iso_efi_sound, _ERROR, iso.is_iso, deep=True),
    LintCheck.of(content.iso_kernel_file, _ERROR, iso.is_iso, deep=True),
    # Netboot tarballs.
    LintCheck.of(content.netboot_parts, _ERROR, netboot.is_netboot, deep=True),
    LintCheck.of(netboot.netboot_menu_file, _ERROR, netboot.is_netboot),
    LintCheck.of(netboot.netboot_root_digest, _ERROR, netboot.is_netboot),
    # Disk images.
    LintCheck.of(disk.disk_table, _ERROR, disk.is_disk),
    LintCheck.of(disk.disk_alignment, _WARNING, disk.is_disk),
    LintCheck.of(disk.root_filesystem, _ERROR, disk.is_disk),
    LintCheck.of(disk.fat_type, _ERROR, disk.has_fat),
    LintCheck.of(disk.fat_free, _WARNING, disk.has_fat),
    LintCheck.of(disk.fat_serial_fstab, _ERROR, disk.has_fat),
    LintCheck.of(disk.ext4_uuid_fstab, _ERROR, disk.has_root),
    LintCheck.of(disk.fstab_filesystems, _ERROR, disk.has_root),
    LintCheck.of(disk.ext4_clean, _ERROR, disk.has_root),
    LintCheck.of(disk.ext4_growth, _WARNING, disk.has_root),
    # What comes with a disk.
    LintCheck.of(container.bmap_covers_metadata, _ERROR, container.has_block_map),
    LintCheck.of(container.bmap_checksums, _ERROR, container.has_block_map, deep=True),
    LintCheck.of(container.vhd_footer, _ERROR, container.is_vhd),
    LintCheck.of(container.incus_metadata, _ERROR, container.is_incus),
    # Disks that GRUB starts.
    LintCheck.of(grub.esp_type, _ERROR, disk.is_disk),
    LintCheck.of(grub.grub_core, _ERROR, disk.is_disk),
    LintCheck.of(grub.grub_version, _WARNING, grub.has_grub),
    LintCheck.of(grub.grub_menu, _ERROR, grub.has_grub),
    # Raspberry Pi.
    LintCheck.of(pi.pi_boot_partition, _ERROR, pi.is_pi_image),
    LintCheck.of(pi.pi_cmdline_line, _ERROR, pi.is_pi),
    LintCheck.of(pi.pi_cmdline_root, _ERROR, pi.is_pi_image),
    LintCheck.of(pi.pi_rootwait, _ERROR, pi.is_pi),
    LintCheck.of(pi.pi_config, _ERROR, pi.is_pi),
    LintCheck.of(pi.pi_kernel, _ERROR, pi.is_pi),
    LintCheck.of(start.pi_start, _ERROR, pi.is_pi),
    LintCheck.of(pi.pi_kernel_modules, _ERROR, pi.is_pi),
    LintCheck.of(pi.pi_page_size, _ERROR, pi.is_pi),
    LintCheck.of(pi.pi_firmware, _ERROR, pi.is_pi),
    LintCheck.of(pi.pi_device_trees, _WARNING, pi.is_pi),
    LintCheck.of(pi.pi_overlays, _WARNING, pi.is_pi),
    LintCheck.of(pi.pi_journal, _WARNING, pi.is_pi_image),
    LintCheck.of(pi.pi_services, _ERROR, pi.is_pi),
    LintCheck.of(pi.pi_growpart, _WARNING, pi.is_pi_image),
    # Boards that U-Boot starts.
    LintCheck.of(board.blob_fits, _ERROR, board.is_uboot_disk),
    LintCheck.of(board.extlinux_paths, _ERROR, board.is_uboot_disk),
    LintCheck.of(board.uboot_script, _ERROR, board.is_uboot_disk),
    LintCheck.of(board.uboot_root, _ERROR, board.is_uboot_disk),
    LintCheck.of(board.uboot_console, _ERROR, board.is_uboot_disk),
    LintCheck.of(board.uboot_device_tree, _ERROR, board.is_uboot_disk),
    LintCheck.of(board.uboot_modules, _ERROR, board.is_uboot_disk),
    LintCheck.of(board.uboot_update, _WARNING, board.is_uboot_disk),
    # Live ISOs.
    LintCheck.of(iso.iso_el_torito, _ERROR, iso.is_iso),
    LintCheck.of(iso.iso_hybrid, _ERROR, iso.is_iso),
    LintCheck.of(iso.iso_efi_files, _ERROR, iso.is_iso),
    LintCheck.of(iso.iso_efi_label, _ERROR, iso.is_iso),
    LintCheck.of(iso.iso_grub_version, _WARNING, iso.is_iso),
    LintCheck.of(iso.iso_menus, _ERROR, iso.is_iso),
    LintCheck.of(iso.iso_menu_file, _ERROR, iso.is_iso),
    LintCheck.of(iso.iso_cdlabel, _ERROR, iso.is_iso),
    LintCheck.of(iso.iso_menus_agree, _ERROR, iso.is_iso),
    LintCheck.of(iso.iso_overlay, _ERROR, iso.is_iso),
    LintCheck.of(iso.iso_squashfs, _ERROR, iso.is_iso),
    LintCheck.of(live.iso_kernel_release, _ERROR, iso.is_iso),
    LintCheck.of(live.iso_initramfs_live, _ERROR, iso.is_iso),
    LintCheck.of(live.iso_initramfs_modules, _ERROR, iso.is_iso),
    LintCheck.of(live.live_user, _ERROR, iso.is_iso),
    LintCheck.of(live.live_public_password, _WARNING, iso.is_iso),
)
"""In the order in which they are told."""
