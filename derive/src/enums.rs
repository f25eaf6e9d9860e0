//! Enums of which a key says which variant it is.

use std::collections::BTreeSet;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DataEnum, DeriveInput, Error, Fields, Result, Variant, ext::IdentExt};

use crate::{
    attributes::{OfField, OfType, OfVariant},
    fields::Named,
    input::refuse_default,
    target::{Target, json},
};

pub(crate) fn expand(
    input: &DeriveInput,
    data: &DataEnum,
    of: &OfType,
    target: &Target,
) -> Result<TokenStream> {
    let Some(tag) = &of.tag else {
        let what = "#[derive(TwinMessage)] takes enums with #[serde(tag = \"...\")]; derive \
                    Deserialize for any other, it may be a field of a message";
        return Err(Error::new_spanned(&input.ident, what));
    };
    refuse_default(input, of)?;
    let (mut names, mut arms) = (Vec::new(), Vec::new());
    let mut taken = BTreeSet::new();
    for variant in &data.variants {
        let attributes = OfVariant::read(&variant.attrs)?;
        if attributes.skip {
            continue;
        }
        let given = variant.ident.unraw().to_string();
        let name = attributes.rename.unwrap_or_else(|| of.rename_all.of_variant(&given));
        let rule = attributes.rename_all.unwrap_or(of.rename_all_fields);
        let all: Vec<_> = [name].into_iter().chain(attributes.aliases).collect();
        if let Some(name) = all.iter().find(|name| !taken.insert((*name).clone())) {
            let what = format!("another variant is named {name:?} as well");
            return Err(Error::new_spanned(&variant.ident, what));
        }
        let (number, read) = (arms.len(), arm(variant, of, rule, &quote!(#tag))?);
        arms.push(quote!(#number => #read,));
        names.push(quote!(&[#(#all),*]));
    }
    let json = json();
    let body = quote! {
        fn from_json(
            reader: &mut #json::Reader<'twinflow_de>,
        ) -> ::core::result::Result<Self, #json::JsonError> {
            let tagged = reader.tagged(#tag)?;
            let variant = tagged.variant(#tag, &[#(#names),*])?;
            let (mut body, opened) = (tagged.body, tagged.opened);
            let reader = &mut body;
            match variant {
                #(#arms)*
                _ => ::core::unreachable!("a variant is one of those that were given"),
            }
        }
    };
    Ok(target.implement(&quote!(#json::FromJson), &body))
}

/// Reads one variant from `reader`, which is behind the opening brace or the tag of an array.
fn arm(
    variant: &Variant,
    of: &OfType,
    rule: crate::rename::Rule,
    tag: &TokenStream,
) -> Result<TokenStream> {
    let (json, ident) = (json(), &variant.ident);
    let (object, array) = match &variant.fields {
        Fields::Unit => {
            return Ok(quote!({
                tagged.unit()?;
                ::core::result::Result::Ok(Self::#ident)
            }));
        }
        Fields::Named(fields) => {
            let named = Named::read(fields, of, rule)?;
            let build = quote!(Self::#ident);
            let tag = quote!(::core::option::Option::Some(#tag));
            (named.object(&build, &tag), named.array(&build))
        }
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
            let field = fields.unnamed.iter().next().expect("there is one");
            if OfField::read(&field.attrs)?.skip {
                return Err(Error::new_spanned(field, "the only field cannot be skipped"));
            }
            let of = &field.ty;
            let by_fields = quote!(<#of as #json::FromJsonObject<'twinflow_de>>);
            let tag = quote!(::core::option::Option::Some(#tag));
            (
                quote!(#by_fields::object(reader, #tag).map(Self::#ident)),
                quote!(#by_fields::array(reader).map(Self::#ident)),
            )
        }
        Fields::Unnamed(_) => {
            let what =
                "a variant of a tagged enum is a unit, has named fields, or holds one struct";
            return Err(Error::new_spanned(ident, what));
        }
    };
    Ok(quote! {
        match opened {
            #json::Opened::Object => #object,
            #json::Opened::Array => #array,
        }
    })
}
