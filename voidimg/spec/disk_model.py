"""The models of partitioned disks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from voidimg.spec.base import Model
from voidimg.spec.words import Bytes, ImagePath, PartitionSize, PartitionType


class Fat(Model):
    """How a FAT filesystem is made; `sectors_per_cluster` None lets the planner choose a valid one.

    `bits` is decided by cluster count alone (< 4085: 12, < 65525: 16), so it must agree with the
    size (facts of the format: Microsoft FAT specification).
    """

    bits: Literal[12, 16, 32] = 32
    """The width of a cluster number."""
    sectors_per_cluster: Literal[1, 2, 4, 8, 16, 32, 64, 128] | None = None


class Ext4(Model):
    """How an ext4 filesystem is made. `reserved_percent` is kept for root."""

    journal: bool = False
    """Whether it has one: flash wears out sooner with it."""
    reserved_percent: int = Field(default=1, ge=0, le=50)


class Partition(Model):
    """One partition, numbered by its place in the list from 1.

    `size` is bytes or ``"rest"`` (the last one only: grows to hold its content plus
    `Disk.headroom`). `type` is an MBR type byte (``"0x0c"``) or a GPT type GUID. A partition with a
    `mount` is filled from that directory of the tree; ``swap`` and ``none`` hold no files.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    """What templates call it."""
    gpt_name: str | None = Field(default=None, pattern=r"^[\x20-\x7e]{1,36}$")
    """What a GPT calls it, the PARTLABEL; by default `name`."""
    size: PartitionSize
    start: Bytes | None = None
    """Where it begins; by default at the next whole MiB after the one before it."""
    type: PartitionType
    filesystem: Literal["vfat", "ext4", "swap", "none"]
    """``none``: what is in it is a boot loader's, such as one of `Disk.blobs`."""
    label: str = ""
    """The name of the filesystem."""
    active: bool = False
    """Whether the MBR marks it as the one to start from."""
    mount: ImagePath | None = None
    """The directory that fills it."""
    fstab_options: str = "defaults"
    fat: Fat = Fat()
    ext4: Ext4 = Ext4()


class Blob(Model):
    """A boot loader file of the tree, written raw at `offset` or at the beginning of `partition`.

    With an `offset` of the disk it lies in a gap: between the table and the partitions, or between
    two of them. A `partition` that holds one has the filesystem ``none``.
    """

    source: ImagePath
    offset: Bytes | None = None
    partition: str | None = None
    """The name of the partition."""

    @model_validator(mode="after")
    def _one_place(self) -> Blob:
        if (self.offset is None) == (self.partition is None):
            raise PydanticCustomError(
                "blob_place",
                "the blob {source} needs exactly one of offset and partition",
                {"source": self.source},
            )
        return self


class Disk(Model):
    """The partitioned disk image. `size` None derives it from the content plus `headroom`."""

    label: Literal["mbr", "gpt"]
    """The kind of the partition table."""
    size: Bytes | None = None
    headroom: Bytes = 64 * 2**20
    """Room left free in the last partition."""
    first_partition: Bytes = 2**20
    """Where the first partition begins."""
    partitions: tuple[Partition, ...] = Field(min_length=1)
    blobs: tuple[Blob, ...] = ()
