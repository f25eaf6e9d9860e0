//! Named fields, of a struct or of a variant: read by their names, or by their places.

use std::collections::BTreeSet;

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::{Error, FieldsNamed, Ident, LitByteStr, Result, Type, ext::IdentExt};

use crate::{
    attributes::{DefaultValue, OfField, OfType},
    rename::Rule,
    target::json,
};

/// The named fields of a struct or variant.
pub(crate) struct Named {
    fields: Vec<Field>,
    deny_unknown: bool,
    default: DefaultValue,
}

struct Field {
    member: Ident,
    /// The variable that holds what was read.
    slot: Ident,
    of: Type,
    name: String,
    aliases: Vec<String>,
    default: DefaultValue,
    skip: bool,
}

impl Named {
    pub(crate) fn read(fields: &FieldsNamed, of: &OfType, rule: Rule) -> Result<Self> {
        let mut taken = BTreeSet::new();
        let mut read = Vec::new();
        for (number, field) in fields.named.iter().enumerate() {
            let attributes = OfField::read(&field.attrs)?;
            let member = field.ident.clone().expect("a named field has a name");
            let given = member.unraw().to_string();
            let name = attributes.rename.unwrap_or_else(|| rule.of_field(&given));
            for name in attributes.aliases.iter().chain([&name]).filter(|_| !attributes.skip) {
                if !taken.insert(name.clone()) {
                    let what = format!("another field is named {name:?} as well");
                    return Err(Error::new_spanned(&member, what));
                }
            }
            read.push(Field {
                slot: format_ident!("field_{number}", span = Span::mixed_site()),
                of: field.ty.clone(),
                name,
                aliases: attributes.aliases,
                default: attributes.default,
                skip: attributes.skip,
                member,
            });
        }
        let (deny_unknown, default) = (of.deny_unknown_fields, of.default.clone());
        Ok(Self { fields: read, deny_unknown, default })
    }

    /// A block that reads what stands in an object, whose brace was read.
    pub(crate) fn object(&self, build: &TokenStream, tag: &TokenStream) -> TokenStream {
        let json = json();
        let slots = self.slots();
        let guesses = self.given().filter_map(Field::guess);
        let arms = self.given().map(Field::arm);
        let unknown = if self.deny_unknown {
            quote!(key => return ::core::result::Result::Err(reader.unknown(key)),)
        } else {
            quote!(_ => reader.skip()?,)
        };
        let built = self.build(build, |field| {
            let (of, name) = (&field.of, &field.name);
            quote!((&&#json::Field::<#of>::new(#name)).absent(reader)?)
        });
        quote! {{
            use #json::{BySerde as _, Extracted as _};
            #slots
            let tag: ::core::option::Option<&'static str> = #tag;
            if tag.is_none() {
                #(#guesses)*
            }
            if tag.is_some() || !reader.closes() {
                while let ::core::option::Option::Some(key) = reader.next_key()? {
                    match &*key {
                        key if ::core::option::Option::Some(key) == tag => reader.skip()?,
                        #(#arms)*
                        #unknown
                    }
                }
            }
            #built
        }}
    }

    /// A block that reads what stands in an array, whose bracket was read.
    pub(crate) fn array(&self, build: &TokenStream) -> TokenStream {
        let json = json();
        let slots = self.slots();
        let reads = self.given().map(|field| {
            let (slot, read) = (&field.slot, field.read(&quote!(read_later)));
            quote! {
                if reader.next_element()? {
                    #slot = ::core::option::Option::Some(#read);
                }
            }
        });
        let built = self.build(build, |field| {
            let name = &field.name;
            quote!(return ::core::result::Result::Err(reader.missing(#name)))
        });
        quote! {{
            use #json::{BySerde as _, Extracted as _};
            #slots
            #(#reads)*
            reader.close_array()?;
            #built
        }}
    }

    /// The fields that are read.
    fn given(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| !field.skip)
    }

    fn slots(&self) -> TokenStream {
        let slots = self.given().map(|field| {
            let (slot, of) = (&field.slot, &field.of);
            quote!(let mut #slot: ::core::option::Option<#of> = ::core::option::Option::None;)
        });
        quote!(#(#slots)*)
    }

    /// The struct of its fields; `absent` is for one that was not there and has no default.
    fn build(&self, build: &TokenStream, absent: impl Fn(&Field) -> TokenStream) -> TokenStream {
        let default = match &self.default {
            DefaultValue::None => None,
            DefaultValue::Trait => Some(quote!(<Self as ::core::default::Default>::default())),
            DefaultValue::Path(path) => Some(quote!(#path())),
        };
        let members = self.fields.iter().map(|field| {
            let (member, slot) = (&field.member, &field.slot);
            let otherwise = match (&field.default, &default) {
                (DefaultValue::Trait, _) => quote!(::core::default::Default::default()),
                (DefaultValue::Path(path), _) => quote!(#path()),
                (DefaultValue::None, Some(_)) => quote!(default.#member),
                (DefaultValue::None, None) if field.skip => {
                    quote!(::core::default::Default::default())
                }
                (DefaultValue::None, None) => absent(field),
            };
            if field.skip {
                return quote!(#member: #otherwise,);
            }
            quote! {
                #member: match #slot {
                    ::core::option::Option::Some(value) => value,
                    ::core::option::Option::None => #otherwise,
                },
            }
        });
        let default = default.as_ref().map(|default| quote!(let default: Self = #default;));
        quote! {
            #default
            ::core::result::Result::Ok(#build { #(#members)* })
        }
    }
}

impl Field {
    /// Reads the value where it is expected.
    fn read(&self, how: &TokenStream) -> TokenStream {
        let (json, of, name) = (json(), &self.of, &self.name);
        quote!((&&#json::Field::<#of>::new(#name)).#how(reader)?)
    }

    /// Takes the field if it comes next. A name that JSON escapes is not guessed.
    fn guess(&self) -> Option<TokenStream> {
        if self.name.chars().any(|letter| letter < ' ' || letter == '"' || letter == '\\') {
            return None;
        }
        let key = LitByteStr::new(format!(",\"{}\":", self.name).as_bytes(), self.member.span());
        let (slot, read) = (&self.slot, self.read(&quote!(read)));
        Some(quote! {
            if reader.guess(#key) {
                #slot = ::core::option::Option::Some(#read);
            }
        })
    }

    /// Takes the field if it is the one that came.
    fn arm(&self) -> TokenStream {
        let Self { slot, name, aliases, .. } = self;
        let read = self.read(&quote!(read_later));
        quote! {
            #name #(| #aliases)* => {
                if #slot.is_some() {
                    return ::core::result::Result::Err(reader.duplicate(#name));
                }
                #slot = ::core::option::Option::Some(#read);
            }
        }
    }
}
