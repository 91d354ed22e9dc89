//! Between rust-hdl's bit vectors and Rust integers: what the leaf models compute with.

use rust_hdl_core::prelude::*;

/// The value of `x` as an integer. `N` up to 128 bits.
pub fn to_i128<const N: usize>(x: Signed<N>) -> i128 {
    let raw = x.inner().to_u128();
    let unused = 128 - N as u32;
    ((raw << unused) as i128) >> unused
}

/// The low `N` bits of `x`: two's complement wrap-around, as hardware does. `N` up to 128 bits.
pub fn from_i128<const N: usize>(x: i128) -> Signed<N> {
    signed_cast(bits_from_u128(x as u128))
}

/// The low `N` bits of `x`.
pub(crate) fn bits_from_u128<const N: usize>(x: u128) -> Bits<N> {
    let kept = if N >= 128 { x } else { x & ((1 << N) - 1) };
    if N <= 64 {
        bits(kept as u64)
    } else {
        kept.to_bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_keeps_its_extremes() {
        fn check<const N: usize>() {
            let (min, max) = (-1 << (N - 1), (1 << (N - 1)) - 1);
            for x in [min, -1, 0, 1.min(max), max] {
                assert_eq!(to_i128(from_i128::<N>(x)), x, "{N} bits");
            }
            assert_eq!(
                to_i128(from_i128::<N>(max + 1)),
                min,
                "{N} bits wrap around"
            );
        }
        check::<1>();
        check::<8>();
        check::<31>();
        check::<32>();
        check::<33>();
        check::<64>();
        check::<65>();
        check::<120>();
    }
}
