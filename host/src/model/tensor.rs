//! A tensor in its stored number format, borrowed from the mapped file where alignment allows.

use std::ops::{Deref, Range};
use std::sync::Arc;

use bytemuck::Pod;
use memmap2::Mmap;

/// A bfloat16 as its bits: the upper half of an f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct Bf16(pub u16);

/// An IEEE half as its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct F16(pub u16);

/// A stored number that widens to f32 exactly.
pub trait Element: Pod + Send + Sync {
    /// The same value as an f32.
    fn widen(self) -> f32;
}

impl Element for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
}

impl Element for Bf16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

impl Element for F16 {
    /// Without branches, so that loops over it vectorise: moving the fields to their places in an f32 gives the value
    /// times 2^-112 (subnormals included), and infinities and NaNs get the exponent they need.
    #[inline(always)]
    fn widen(self) -> f32 {
        let magnitude = u32::from(self.0 & 0x7fff) << 13;
        let special = if magnitude >= 0x1f << 23 {
            0xff << 23
        } else {
            0
        };
        let scaled =
            (f32::from_bits(magnitude) * f32::from_bits((127 + 112) << 23)).to_bits() | special;
        f32::from_bits(scaled | u32::from(self.0 & 0x8000) << 16)
    }
}

/// Elements that lie in a mapped file, or in memory of their own.
#[derive(Debug, Clone)]
pub struct Slice<E>(Store<E>);

#[derive(Debug, Clone)]
enum Store<E> {
    Mapped {
        map: Arc<Mmap>,
        bytes: Range<usize>,
    },
    Owned {
        all: Arc<Vec<E>>,
        part: Range<usize>,
    },
}

impl<E: Pod> Slice<E> {
    /// The elements in these bytes of a mapped file; copied if the file does not align them. `bytes` must lie inside
    /// the map and hold whole elements.
    pub(super) fn map(map: &Arc<Mmap>, bytes: Range<usize>) -> Self {
        let raw = &map[bytes.clone()];
        if bytemuck::try_cast_slice::<u8, E>(raw).is_ok() {
            return Self(Store::Mapped {
                map: map.clone(),
                bytes,
            });
        }
        Self::own(
            raw.chunks_exact(size_of::<E>())
                .map(bytemuck::pod_read_unaligned)
                .collect(),
        )
    }

    /// Elements in memory of their own.
    pub fn own(all: Vec<E>) -> Self {
        let part = 0..all.len();
        Self(Store::Owned {
            all: Arc::new(all),
            part,
        })
    }

    fn part(&self, range: Range<usize>) -> Self {
        let size = size_of::<E>();
        Self(match &self.0 {
            Store::Mapped { map, bytes } => Store::Mapped {
                map: map.clone(),
                bytes: bytes.start + range.start * size..bytes.start + range.end * size,
            },
            Store::Owned { all, part } => Store::Owned {
                all: all.clone(),
                part: part.start + range.start..part.start + range.end,
            },
        })
    }
}

impl<E: Pod> Deref for Slice<E> {
    type Target = [E];

    fn deref(&self) -> &[E] {
        match &self.0 {
            Store::Mapped { map, bytes } => bytemuck::cast_slice(&map[bytes.clone()]),
            Store::Owned { all, part } => &all[part.clone()],
        }
    }
}

/// The elements of a tensor, in one of the formats read.
#[derive(Debug, Clone)]
pub enum Data {
    /// 32-bit floats.
    F32(Slice<f32>),
    /// bfloat16.
    Bf16(Slice<Bf16>),
    /// IEEE half.
    F16(Slice<F16>),
}

/// Evaluates an expression with `$slice` bound to the typed elements of a [`Data`].
#[macro_export]
#[doc(hidden)]
macro_rules! with_elements {
    ($data:expr, $slice:ident => $body:expr) => {
        match $data {
            $crate::model::tensor::Data::F32($slice) => $body,
            $crate::model::tensor::Data::Bf16($slice) => $body,
            $crate::model::tensor::Data::F16($slice) => $body,
        }
    };
}

/// A tensor, row-major. Cloning it is cheap: the elements are shared.
#[derive(Debug, Clone)]
pub struct Tensor {
    /// Size of each dimension, outermost first.
    pub shape: Vec<usize>,
    /// The elements.
    pub data: Data,
}

impl Tensor {
    /// A tensor of f32 in memory of its own. `values` must have as many elements as `shape` says.
    pub fn from_f32(shape: &[usize], values: Vec<f32>) -> Self {
        assert_eq!(
            shape.iter().product::<usize>(),
            values.len(),
            "a tensor's values must fill its shape"
        );
        Self {
            shape: shape.to_vec(),
            data: Data::F32(Slice::own(values)),
        }
    }

    /// Number of rows of a matrix (size of the outermost dimension).
    pub fn height(&self) -> usize {
        self.shape[0]
    }

    /// Elements of one row: the product of all dimensions but the outermost.
    pub fn width(&self) -> usize {
        self.shape[1..].iter().product()
    }

    /// The sub-tensor at `at` of the outermost dimension. Panics where there is none.
    pub fn index(&self, at: usize) -> Self {
        let mut one = self.rows(at..at + 1);
        one.shape.remove(0);
        one
    }

    /// These rows of the outermost dimension. Panics where they are not there.
    pub fn rows(&self, range: Range<usize>) -> Self {
        assert!(
            range.start <= range.end && range.end <= self.height(),
            "rows outside the tensor"
        );
        let elements = range.start * self.width()..range.end * self.width();
        let mut shape = self.shape.clone();
        shape[0] = range.len();
        let data = match &self.data {
            Data::F32(s) => Data::F32(s.part(elements)),
            Data::Bf16(s) => Data::Bf16(s.part(elements)),
            Data::F16(s) => Data::F16(s.part(elements)),
        };
        Self { shape, data }
    }

    /// Writes one row of the outermost dimension as f32. `out` has [`Self::width`] elements.
    pub fn row_to_f32(&self, row: usize, out: &mut [f32]) {
        let width = self.width();
        with_elements!(&self.data, s => {
            for (out, e) in out.iter_mut().zip(&s[row * width..(row + 1) * width]) {
                *out = e.widen();
            }
        });
    }

    /// All elements as f32.
    pub fn to_f32(&self) -> Vec<f32> {
        with_elements!(&self.data, s => s.iter().map(|e| e.widen()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every half there is, against an independent conversion.
    #[test]
    fn halves_widen_exactly() {
        for bits in 0..=u16::MAX {
            let (own, reference) = (F16(bits).widen(), half::f16::from_bits(bits).to_f32());
            assert!(
                own.to_bits() == reference.to_bits() || own.is_nan() && reference.is_nan(),
                "{bits:#06x}"
            );
            let (own, reference) = (Bf16(bits).widen(), half::bf16::from_bits(bits).to_f32());
            assert!(
                own.to_bits() == reference.to_bits() || own.is_nan() && reference.is_nan(),
                "{bits:#06x}"
            );
        }
    }

    #[test]
    fn parts_are_where_they_should_be() {
        let t = Tensor::from_f32(&[2, 3, 2], (0..12).map(|n| n as f32).collect());
        assert_eq!(t.index(1).shape, [3, 2]);
        assert_eq!(t.index(1).rows(1..3).to_f32(), [8., 9., 10., 11.]);
        let mut row = [0.0; 2];
        t.index(0).row_to_f32(2, &mut row);
        assert_eq!(row, [4., 5.]);
    }
}
