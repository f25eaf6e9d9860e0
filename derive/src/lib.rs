//! `#[derive(TwinMessage)]`: a message type that is read from JSON in one scan.
//!
//! The derive looks at names and attributes only; what the types are, the compiler finds out. What
//! is generated stands on `twinflow::operators::json`.

mod attributes;
mod enums;
mod fields;
mod input;
mod rename;
mod target;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

/// Makes a struct or a tagged enum a message that is read from JSON in one scan, in place of
/// `Deserialize`: a type derives one of the two.
///
/// What is accepted, and with which values, is what `serde_json` accepts for the same type with
/// `#[derive(Deserialize)]`; payloads whose fields come in the order of the struct are fastest.
///
/// # Fields
///
/// Whole numbers to 64 bits, `f64`, `f32`, `bool`, `String`, `&str`, `Cow<str>`, types that derive
/// `TwinMessage`, and `Option`, `Vec` and `Box` of these are read in the same scan. Text is
/// borrowed from the payload where the type allows it, without `#[serde(borrow)]`. A field of any
/// other type that is `Deserialize` is read by serde.
///
/// # Types
///
/// Structs with named fields or with one unnamed field, and enums with `#[serde(tag = "...")]`
/// whose variants are units, structs or hold one struct that derives `TwinMessage`. Lifetimes may
/// be parameters, types may not.
///
/// # Attributes
///
/// Those of serde: `rename`, `rename_all`, `rename_all_fields`, `alias`, `default`, `skip`,
/// `skip_deserializing`, `deny_unknown_fields`, `tag`; `borrow` and what is for `Serialize` alone
/// change nothing. Every other one (`flatten`, `with`, ...) is refused: derive `Deserialize` then.
///
/// # Differences
///
/// A value that is read by serde may not have more arrays and objects in each other than 127,
/// counted from the top of the payload, even where its type would read past the inner ones.
#[proc_macro_derive(TwinMessage, attributes(serde))]
pub fn derive_twin_message(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    input::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
