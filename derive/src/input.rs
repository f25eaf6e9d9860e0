//! From the type as it is written to its implementations.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DataStruct, DeriveInput, Error, Fields, Result};

use crate::{
    attributes::{DefaultValue, OfField, OfType},
    enums,
    fields::Named,
    target::{Target, json},
};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let of = OfType::read(&input.attrs)?;
    let target = Target::of(input)?;
    let implementations = match &input.data {
        Data::Struct(data) => of_struct(input, data, &of, &target)?,
        Data::Enum(data) => enums::expand(input, data, &of, &target)?,
        Data::Union(data) => {
            let what = "#[derive(TwinMessage)] is for structs and tagged enums";
            return Err(Error::new_spanned(data.union_token, what));
        }
    };
    let json = json();
    let message = quote!(::twinflow::operators::message::TwinMessage);
    let decode = quote! {
        #[inline]
        fn decode(
            raw: ::twinflow::operators::message::RawMessage<'twinflow_de>,
        ) -> ::core::result::Result<Self, ::twinflow::operators::message::DecodeError> {
            #json::decode(raw)
        }
    };
    let message = target.implement(&message, &decode);
    Ok(quote!(#implementations #message))
}

fn of_struct(
    input: &DeriveInput,
    data: &DataStruct,
    of: &OfType,
    target: &Target,
) -> Result<TokenStream> {
    if let Some(tag) = &of.tag {
        return Err(Error::new(tag.span(), "a tag is for enums"));
    }
    match &data.fields {
        Fields::Named(fields) => {
            let named = Named::read(fields, of, of.rename_all)?;
            Ok(of_named(&named, target))
        }
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
            refuse_default(input, of)?;
            let field = fields.unnamed.iter().next().expect("there is one");
            if OfField::read(&field.attrs)?.skip {
                return Err(Error::new_spanned(field, "the only field cannot be skipped"));
            }
            let (json, of) = (json(), &field.ty);
            let body = quote! {
                #[inline]
                fn from_json(
                    reader: &mut #json::Reader<'twinflow_de>,
                ) -> ::core::result::Result<Self, #json::JsonError> {
                    use #json::{BySerde as _, Extracted as _};
                    (&&#json::Field::<#of>::new("0")).read(reader).map(Self)
                }
            };
            Ok(target.implement(&quote!(#json::FromJson), &body))
        }
        Fields::Unnamed(_) | Fields::Unit => {
            let what = "#[derive(TwinMessage)] takes structs with named fields, or with one field";
            Err(Error::new_spanned(&input.ident, what))
        }
    }
}

/// `#[serde(default)]` on a type that has no named fields.
pub(crate) fn refuse_default(input: &DeriveInput, of: &OfType) -> Result<()> {
    match of.default {
        DefaultValue::None => Ok(()),
        DefaultValue::Trait | DefaultValue::Path(_) => {
            let what = "#[serde(default)] on a type is for structs with named fields";
            Err(Error::new_spanned(&input.ident, what))
        }
    }
}

fn of_named(named: &Named, target: &Target) -> TokenStream {
    let json = json();
    let (object, array) = (named.object(&quote!(Self), &quote!(tag)), named.array(&quote!(Self)));
    let from_json = quote! {
        #[inline]
        fn from_json(
            reader: &mut #json::Reader<'twinflow_de>,
        ) -> ::core::result::Result<Self, #json::JsonError> {
            match reader.open()? {
                #json::Opened::Object => #json::FromJsonObject::object(
                    reader,
                    ::core::option::Option::None,
                ),
                #json::Opened::Array => #json::FromJsonObject::array(reader),
            }
        }
    };
    let by_fields = quote! {
        #[inline]
        fn object(
            reader: &mut #json::Reader<'twinflow_de>,
            tag: ::core::option::Option<&'static str>,
        ) -> ::core::result::Result<Self, #json::JsonError> {
            #object
        }

        #[cold]
        fn array(
            reader: &mut #json::Reader<'twinflow_de>,
        ) -> ::core::result::Result<Self, #json::JsonError> {
            #array
        }
    };
    let from_json = target.implement(&quote!(#json::FromJson), &from_json);
    let by_fields = target.implement(&quote!(#json::FromJsonObject), &by_fields);
    quote!(#from_json #by_fields)
}
