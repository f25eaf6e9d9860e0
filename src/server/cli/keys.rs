//! `twinflow keys create|list|revoke`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use twinflow_connectors::{message::model_name_error, rest::access};

use super::{
    FileArgs, complain,
    output::{OutputArgs, columns, print},
};
use crate::{
    config::{Config, Registries},
    error::{Error, ErrorKind, Result},
    server::{
        audit::{Audit, this_user},
        keys,
    },
};

/// `twinflow keys`
#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Make a key and print it: this once, it is kept nowhere
    Create(Create),
    /// Prefixes, roles and bindings of all keys
    List(List),
    /// Take a key back; a running server knows it within a second
    Revoke(Revoke),
}

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Send messages, and fetch feedback
    Ingest,
    /// Look at everything
    Read,
    /// Look; pause, resume, create and remove twins, replay dead letters
    Operate,
    /// Everything
    Admin,
}

/// `twinflow keys create`
#[derive(Debug, Args)]
pub(super) struct Create {
    /// What the key may do
    #[arg(long, value_name = "ROLE")]
    role: Role,
    /// A model that the key is for; may be repeated; default: every model
    #[arg(long, value_name = "MODEL")]
    model: Vec<String>,
    /// The twin ids that the key is for, for example `site-1/*`, or `{client_id}/*` with
    /// --client-id; default: every twin
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    twins: String,
    /// The client that the key is for: its id stands for `{client_id}` in --twins
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    #[command(flatten)]
    file: FileArgs,
}

/// `twinflow keys list`
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// `twinflow keys revoke`
#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// The part of the key between its two `_`
    prefix: String,
    #[command(flatten)]
    file: FileArgs,
}

impl Keys {
    pub(super) fn run(self, kinds: &Registries) -> Result<()> {
        match self {
            Self::Create(create) => create.run(kinds),
            Self::List(list) => list.run(kinds),
            Self::Revoke(revoke) => revoke.run(kinds),
        }
    }
}

impl Create {
    fn run(self, kinds: &Registries) -> Result<()> {
        let wrong = self.model.iter().find_map(|name| model_name_error(name));
        if let Some(reason) = wrong {
            return Err(Error::new(ErrorKind::Usage, format!("--model: {reason}")));
        }
        if self.twins.is_empty() {
            let what = "--twins: an empty pattern is for no twin; \"*\" is for every one";
            return Err(Error::new(ErrorKind::Usage, what));
        }
        let place = Place::of(&self.file, kinds)?;
        let models = if self.model.is_empty() { vec!["*".into()] } else { self.model };
        let twins = (self.twins, self.client_id);
        let key = keys::create(&place.file, self.role.into(), models, twins, |entry| {
            place.audit("keys create", entry)
        })?;
        print(&format!("{key}\n"))?;
        complain("this key is shown once and kept nowhere; keep it like a password\n");
        Ok(())
    }
}

impl List {
    fn run(&self, kinds: &Registries) -> Result<()> {
        let entries = keys::list(&Place::of(&self.file, kinds)?.file)?;
        let entries: Vec<_> = entries
            .into_iter()
            .map(|key| {
                let models = key.models.join(", ");
                // One that cannot work is shown as it is written.
                let twins = key.twins_of_client().unwrap_or_else(|_| key.twins.clone());
                let role = key.role.name();
                json!({ "prefix": key.prefix, "role": role, "models": models, "twins": twins })
            })
            .collect();
        self.output.show(&Value::Array(entries), |entries| {
            let keys = ["prefix", "role", "models", "twins"];
            columns(&["PREFIX", "ROLE", "MODELS", "TWINS"], &keys, entries)
        })
    }
}

impl Revoke {
    fn run(&self, kinds: &Registries) -> Result<()> {
        let place = Place::of(&self.file, kinds)?;
        keys::revoke(&place.file, &self.prefix, |entry| place.audit("keys revoke", entry))?;
        complain(&format!("{} is revoked\n", self.prefix));
        Ok(())
    }
}

/// Where keys and their audit log are.
struct Place {
    file: PathBuf,
    audit: Audit,
}

impl Place {
    fn of(file: &FileArgs, kinds: &Registries) -> Result<Self> {
        let config: Config = file.load(kinds)?;
        let audit = Audit::new(&config.state.dir);
        let file = config.server.keys_file.ok_or_else(|| {
            let file = config.file.display();
            let what = format!(
                "{file} names no file of keys: add keys_file = \"keys.toml\" below [server]"
            );
            Error::misconfigured(what)
        })?;
        Ok(Self { file, audit })
    }

    fn audit(&self, what: &str, entry: &access::KeyEntry) -> Result<()> {
        self.audit.key(what, this_user(), entry)
    }
}

impl From<Role> for access::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Ingest => Self::Ingest,
            Role::Read => Self::Read,
            Role::Operate => Self::Operate,
            Role::Admin => Self::Admin,
        }
    }
}
