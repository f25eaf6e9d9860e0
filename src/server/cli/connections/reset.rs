//! `twinflow connections reset NAME --to earliest|latest|OFFSET`.

use std::str::FromStr;

use clap::Args;
use serde_json::json;

use crate::{
    config::{Config, Registries},
    error::{Error, ErrorKind, Result},
    server::{
        audit::{Audit, this_user},
        cli::{
            PlaceArgs, complain,
            output::{OutputArgs, columns},
        },
        reach,
    },
    state::{self, Goal, Which},
};

/// `twinflow connections reset`
#[derive(Debug, Args)]
pub(in crate::server::cli) struct Reset {
    /// Name of the connection
    name: String,
    /// Only this topic
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Only this partition
    #[arg(long, value_name = "NUMBER")]
    partition: Option<i32>,
    /// Where the next start begins: `earliest`, `latest`, which ask the brokers, or an offset
    #[arg(long, value_name = "WHERE")]
    to: To,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Earliest,
    Latest,
    Offset(u64),
}

impl FromStr for To {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            _ => text
                .parse()
                .map(Self::Offset)
                .map_err(|_| "it is earliest, latest or an offset, 0 or more".into()),
        }
    }
}

impl Reset {
    pub(super) fn run(self, kinds: &Registries) -> Result<()> {
        let config = self.place.load(kinds)?;
        let (dir, segment_bytes) = (config.state.dir.clone(), config.state.segment_bytes);
        let goal = self.goal(config)?;
        let which = Which { topic: self.topic, partition: self.partition };
        let (moved, epoch) = state::reset(&dir, segment_bytes, &self.name, &which, goal)?;
        let what = json!({ "connection": self.name, "moved": moved, "epoch": epoch });
        Audit::new(&dir).change("connections reset", this_user(), &what.to_string())?;
        if moved.iter().any(|it| it.from.is_some_and(|from| it.to < from)) {
            complain("what is read again is applied again, but for messages whose ids are kept\n");
        }
        self.output.show(&what, |what| {
            let keys = ["topic", "partition", "from", "to"];
            columns(&["TOPIC", "PARTITION", "FROM", "TO"], &keys, &what["moved"])
        })
    }

    /// An offset needs nobody; the ends of a log only its brokers know.
    fn goal(&self, config: Config) -> Result<Goal> {
        let from_start = match self.to {
            To::Offset(to) => return Ok(Goal::Offset(to)),
            To::Earliest => true,
            To::Latest => false,
        };
        let file = config.file.display().to_string();
        let mut connections = config.connections;
        connections.retain(|connection| connection.name == self.name);
        if connections.is_empty() {
            let what = format!("{file} has no connection \"{}\" to ask", self.name);
            return Err(Error::new(ErrorKind::Usage, what));
        }
        let reached = reach::all(connections)?.pop().expect("one was asked").reached?;
        let position = |it: &twinflow_connectors::PartitionEnds| {
            (it.topic.clone(), it.partition, if from_start { it.first } else { it.next })
        };
        reached.warnings.iter().for_each(|why| complain(&format!("warning: {why}\n")));
        Ok(Goal::Each(reached.partitions.iter().map(position).collect()))
    }
}
