//! What the generated code is for: a type with its lifetimes, and the paths it names.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Error, GenericParam, Result};

/// The module that generated code stands on.
pub(crate) fn json() -> TokenStream {
    quote!(::twinflow::operators::json)
}

/// The heads of the implementations for a type.
pub(crate) struct Target {
    generics: TokenStream,
    of: TokenStream,
    conditions: TokenStream,
}

impl Target {
    pub(crate) fn of(input: &DeriveInput) -> Result<Self> {
        let mut lifetimes = Vec::new();
        for parameter in &input.generics.params {
            match parameter {
                GenericParam::Lifetime(lifetime) => lifetimes.push(lifetime),
                other => {
                    let what = "#[derive(TwinMessage)] takes lifetimes as parameters only";
                    return Err(Error::new_spanned(other, what));
                }
            }
        }
        let (_, arguments, given) = input.generics.split_for_impl();
        let given = given.map(|given| {
            let predicates = &given.predicates;
            quote!(#predicates,)
        });
        let ident = &input.ident;
        let names = lifetimes.iter().map(|parameter| &parameter.lifetime);
        Ok(Self {
            generics: quote!(<'twinflow_de, #(#lifetimes),*>),
            of: quote!(#ident #arguments),
            conditions: quote!(where #given #('twinflow_de: #names),*),
        })
    }

    /// `impl<'de, ...> PATH<'de> for Type { BODY }`.
    pub(crate) fn implement(&self, path: &TokenStream, body: &TokenStream) -> TokenStream {
        let Self { generics, of, conditions } = self;
        quote! {
            #[automatically_derived]
            impl #generics #path<'twinflow_de> for #of #conditions {
                #body
            }
        }
    }
}
