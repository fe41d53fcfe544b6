"""Live images: squashfs, boot menus, EFI loaders, and the hybrid ISO that holds them."""
