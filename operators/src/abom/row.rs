//! Which types may be rows, and the macro that makes one.

#![expect(unsafe_code, reason = "what a type promises to the codec no compiler checks")]

use abomonation::Abomonation;

/// A type whose values abomonation can carry; made by [`abom_row!`](crate::abom_row).
///
/// # Safety
///
/// - It has no padding: every byte of a value was written.
/// - What it owns outside of itself are `String`s and `Vec<u8>`s: single bytes, which are aligned
///   everywhere. No `Box`, no reference, no handle of this process.
/// - [`Abomonation`] writes, measures and restores all of them, in the same order.
pub unsafe trait AbomRow: Abomonation + Clone + Send + Sync + 'static {}

macro_rules! plain {
    ($($plain:ty)+) => {
        // SAFETY: a number has no padding and owns nothing; a `String` and a `Vec` are a pointer
        // and two lengths without padding, own single bytes, and abomonation knows them.
        $(unsafe impl AbomRow for $plain {})+
    };
}

plain!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 bool char String Vec<u8>);

// SAFETY: an array is its rows, one behind the other without a gap.
unsafe impl<T: AbomRow, const N: usize> AbomRow for [T; N] where [T; N]: Abomonation {}

/// Makes a struct that may be a row of [`Abom`](crate::abom::Abom). Its fields are numbers, `bool`,
/// `char`, `String`, `Vec<u8>`, arrays and other such structs, and leave no gap between them: sort
/// them by size, and name what is left `_pad`.
///
/// ```compile_fail,E0080
/// twinflow_operators::abom_row! {
///     #[derive(Clone)]
///     struct Gaps {
///         small: u8,
///         large: u64,
///     }
/// }
/// ```
///
/// ```compile_fail,E0277
/// twinflow_operators::abom_row! {
///     #[derive(Clone)]
///     struct Owns {
///         numbers: Vec<u64>,
///     }
/// }
/// ```
#[macro_export]
macro_rules! abom_row {
    (
        $(#[$of_row:meta])*
        $sees:vis struct $row:ident {
            $($(#[$of_field:meta])* $field_sees:vis $field:ident: $kind:ty),+ $(,)?
        }
    ) => {
        $(#[$of_row])*
        $sees struct $row {
            $($(#[$of_field])* $field_sees $field: $kind),+
        }

        const _: () = {
            use ::std::{io, mem::size_of};
            use $crate::abom::{AbomRow, Abomonation};

            assert!(
                size_of::<$row>() == 0 $(+ size_of::<$kind>())+,
                "a row has gaps between its fields, whose bytes nobody wrote"
            );

            impl Abomonation for $row {
                #[inline]
                unsafe fn entomb<W: io::Write>(&self, write: &mut W) -> io::Result<()> {
                    // SAFETY: as the caller says.
                    $(unsafe { self.$field.entomb(write) }?;)+
                    Ok(())
                }

                #[inline]
                unsafe fn exhume<'b>(&mut self, bytes: &'b mut [u8]) -> Option<&'b mut [u8]> {
                    // SAFETY: as the caller says, and in the order of `entomb`.
                    $(let bytes = unsafe { self.$field.exhume(bytes) }?;)+
                    Some(bytes)
                }

                #[inline]
                fn extent(&self) -> usize {
                    0 $(+ self.$field.extent())+
                }
            }

            // SAFETY: the sizes above say that there is no padding between fields, and each field
            // is a row itself. What it owns is what they own; all of them are named.
            unsafe impl AbomRow for $row where $($kind: AbomRow),+ {}
        };
    };
}
