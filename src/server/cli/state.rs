//! `twinflow state info|check|export|import|drop`.

mod show;

use std::{
    fs::OpenOptions,
    io::{self, BufReader, BufWriter, IsTerminal},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{ArgGroup, Args, Subcommand};
use serde_json::json;
use twinflow_operators::models::Models;

use super::{PlaceArgs, complain, output::OutputArgs};
use crate::{
    config::{Config, Registries},
    error::{Error, ErrorKind, Result},
    server::audit::{Audit, this_user},
    state::{self, Configured, Removal, Subject, What},
};

/// `twinflow state`
#[derive(Debug, Subcommand)]
pub(super) enum State {
    /// What a state directory holds, in numbers
    Info(Info),
    /// Read everything and make every check; changes nothing
    Check(Check),
    /// Write everything that is stored, a line of JSON each
    Export(Export),
    /// Make a new state directory of an export: all of it or nothing
    Import(Import),
    /// Remove for good what is stored of a model or connection that the file lacks
    Drop(Remove),
}

/// `twinflow state info`
#[derive(Debug, Args)]
pub(super) struct Info {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// `twinflow state check`
#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// `twinflow state export`
#[derive(Debug, Args)]
pub(super) struct Export {
    /// A file that does not exist yet; `-` is standard output
    #[arg(value_name = "FILE", default_value = "-")]
    to: PathBuf,
    /// Only the twins of this model: no positions, so no backup
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// States as they are stored, in base64: faster, and nothing to read
    #[arg(long)]
    encoded: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

/// `twinflow state import`
#[derive(Debug, Args)]
pub(super) struct Import {
    /// What `export` wrote; `-` is standard input
    #[arg(value_name = "FILE")]
    from: PathBuf,
    #[command(flatten)]
    place: PlaceArgs,
}

/// `twinflow state drop`
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("subject").required(true)))]
pub(super) struct Remove {
    /// Remove its twins, message ids, feedback and dead letters
    #[arg(long, value_name = "MODEL", group = "subject")]
    model: Option<String>,
    /// Remove its positions and feedback
    #[arg(long, value_name = "CONNECTION", group = "subject")]
    connection: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl State {
    pub(super) fn run(self, kinds: &Registries) -> Result<ExitCode> {
        let done = match self {
            Self::Info(verb) => verb.run(kinds),
            Self::Check(verb) => return verb.run(kinds),
            Self::Export(verb) => verb.run(kinds),
            Self::Import(verb) => verb.run(kinds),
            Self::Drop(verb) => verb.run(kinds),
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

/// A directory, with the file that names it if it was read.
struct Place {
    dir: PathBuf,
    config: Option<Config>,
}

impl PlaceArgs {
    /// Who names a directory needs no file.
    fn find(&self, kinds: &Registries) -> Result<Place> {
        if let Some(dir) = &self.state_dir {
            return Ok(Place { dir: dir.into(), config: None });
        }
        let config = self.load(kinds)?;
        Ok(Place { dir: config.state.dir.clone(), config: Some(config) })
    }
}

impl Info {
    fn run(&self, kinds: &Registries) -> Result<()> {
        let info = state::info(&self.place.find(kinds)?.dir)?;
        self.output.show(&info, show::info)
    }
}

impl Check {
    fn run(&self, kinds: &Registries) -> Result<ExitCode> {
        let Place { dir, config } = self.place.find(kinds)?;
        let checked = match config {
            None => state::check(&dir, None)?,
            Some(config) => {
                let connections = config.connections.iter().map(|it| it.name.clone());
                let connections: Vec<_> = connections.collect();
                let models = config.models.into_iter().fold(Models::new(), |models, model| {
                    model.processor.add_to(models, &model.name, model.settings)
                });
                let connections = connections.iter().map(String::as_str).collect();
                state::check(&dir, Some(&Configured { models: &models, connections }))?
            }
        };
        let code = checked.problems.first().map_or(0, |problem| problem.exit_code);
        let report = serde_json::to_value(&checked).expect("a report always serialises");
        self.output.show(&report, |report| show::checked(&dir, report))?;
        Ok(ExitCode::from(code))
    }
}

impl Export {
    fn run(self, kinds: &Registries) -> Result<()> {
        let dir = self.place.find(kinds)?.dir;
        let what = What { model: self.model, encoded: self.encoded };
        let exported = if self.to.as_os_str() == "-" {
            state::export(&dir, &what, &mut BufWriter::new(io::stdout().lock()))?
        } else {
            export_to(&dir, &what, &self.to)?
        };
        complain(&format!("exported: twins: {}, lines: {}\n", exported.twins, exported.lines));
        Ok(())
    }
}

/// A file is never written over, and durable when it is said to be there.
fn export_to(dir: &Path, what: &What, to: &Path) -> Result<state::Exported> {
    let cannot = |error: io::Error| {
        let kind = match error.kind() {
            io::ErrorKind::AlreadyExists => ErrorKind::Usage,
            _ => ErrorKind::Disk,
        };
        Error::new(kind, format!("could not write \"{}\"", to.display())).because(error)
    };
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(to).map_err(cannot)?;
    let mut buffered = BufWriter::with_capacity(1 << 20, &file);
    let exported = state::export(dir, what, &mut buffered).inspect_err(|_| {
        // What is not whole is of no use to anybody.
        let _stays = std::fs::remove_file(to).is_err();
    })?;
    drop(buffered);
    file.sync_all().map_err(cannot)?;
    Ok(exported)
}

impl Import {
    fn run(self, kinds: &Registries) -> Result<()> {
        let Place { dir, config } = self.place.find(kinds)?;
        let segment_bytes = config.map(|config| config.state.segment_bytes);
        let imported = if self.from.as_os_str() == "-" {
            state::import(&dir, &mut io::stdin().lock(), segment_bytes)?
        } else {
            let file = std::fs::File::open(&self.from).map_err(|error| {
                let what = format!("could not read \"{}\"", self.from.display());
                Error::new(ErrorKind::Usage, what).because(error)
            })?;
            let mut buffered = BufReader::with_capacity(1 << 20, file);
            state::import(&dir, &mut buffered, segment_bytes)?
        };
        Audit::new(&dir).change("state import", this_user(), &self.from.to_string_lossy())?;
        complain(&format!(
            "imported: twins: {}, lines: {}; a start goes on behind epoch {}\n",
            imported.twins, imported.lines, imported.behind_epoch
        ));
        Ok(())
    }
}

impl Remove {
    fn run(self, kinds: &Registries) -> Result<()> {
        let config = self.place.load(kinds)?;
        let (subject, kind, name) = match (&self.model, &self.connection) {
            (Some(name), _) => (Subject::Model(name), "model", name),
            (None, Some(name)) => (Subject::Connection(name), "connection", name),
            (None, None) => unreachable!("clap asks for one of them"),
        };
        let has = match subject {
            Subject::Model(name) => config.models.iter().any(|it| it.name == name),
            Subject::Connection(name) => config.connections.iter().any(|it| it.name == name),
        };
        if has {
            let what = format!(
                "{kind} \"{name}\" is in {}; what the file has is not dropped: take it out first",
                config.file.display()
            );
            return Err(Error::misconfigured(what));
        }
        let dir = &config.state.dir;
        let removal = Removal::find(dir, config.state.segment_bytes, subject)?;
        let removed = removal.removed;
        let mut report = json!({
            kind: name,
            "twins": removed.twins,
            "message_ids": removed.message_ids,
            "quarantined": removed.quarantined,
            "feedback": removed.feedback,
            "dead_letters": removed.dead_letters,
            "positions": removed.positions,
        });
        let said = show::removed(&report);
        if removal.is_empty() {
            complain(&format!("{kind} \"{name}\": nothing is stored\n"));
            return Ok(());
        }
        if !self.yes {
            confirm(&format!("{kind} \"{name}\" in \"{}\": {said}", dir.display()), name)?;
        }
        report["epoch"] = removal.commit()?.into();
        Audit::new(dir).change("state drop", this_user(), &format!("{kind} {name}: {said}"))?;
        self.output.show(&report, |_| format!("{kind} \"{name}\" is dropped: {said}\n"))
    }
}

/// Says what goes and has its name typed; who is not at a terminal has to say `--yes`.
fn confirm(what: &str, name: &str) -> Result<()> {
    complain(&format!("{what}\n"));
    if !io::stdin().is_terminal() {
        let what = "this cannot be undone, and nobody can be asked here: add --yes";
        return Err(Error::new(ErrorKind::Usage, what));
    }
    complain("this cannot be undone; type the name to drop it: ");
    let mut typed = String::new();
    let read = io::stdin().read_line(&mut typed);
    if read.is_err() || typed.trim() != name {
        return Err(Error::new(ErrorKind::Usage, "that is not its name: nothing was dropped"));
    }
    Ok(())
}
