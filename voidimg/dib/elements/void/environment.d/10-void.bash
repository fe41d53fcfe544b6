# What other elements ask for the distribution by.
export DISTRO_NAME=void
export DIB_RELEASE=${DIB_RELEASE:-current}
export DIB_VOIDIMG_ROOTFS=${DIB_VOIDIMG_ROOTFS:-}
export DIB_VOIDIMG_KEY=${DIB_VOIDIMG_KEY:-}
export DIB_VOIDIMG_UNVERIFIED=${DIB_VOIDIMG_UNVERIFIED:-}
