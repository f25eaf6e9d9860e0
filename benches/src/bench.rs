//! Runs a workload on its systems in turn and reports.
//!
//! Estimate: three pairs of W1 take three times a second of parsing, twice half a second of runs
//! and a second or two for the data set: about five seconds.

use crate::Result;
use crate::args::{Bench, Options, Systems, Through, W4Options};
use crate::check::Check;
use crate::data::DataSet;
use crate::engine::Twinflow;
use crate::latency::{Histogram, Latency};
use crate::limit::Limit;
use crate::rest::{self as client, Load};
use crate::result::{Ratio, ResultLine, Summary, Verdict, median, median_latency};
use crate::system::{Measured, System, Workload};
use crate::{clock, grid, memory, plots, profile, states, through, w3, w4};

/// How many values the wake floor is measured with, if the run has as many messages.
const FLOOR_SAMPLES: usize = 5_000;

/// Runs what the command line asks for; the verdict says whether its figures count.
pub fn run(bench: &Bench) -> Result<Verdict> {
    clock::sharpen_naps();
    let summary = match bench {
        Bench::W1(options) => match options.through {
            None => throughput("w1", Workload::W1, options, &systems(options))?,
            Some(broker) => {
                let (options, systems) = through::systems(options, broker)?;
                throughput("w1", Workload::W1, &options, &systems)?
            }
        },
        Bench::W2(options) => throughput("w2", Workload::W2, options, &systems(options))?,
        Bench::W3(options) if options.through == Some(Through::Rest) => {
            let (rate, messages) = (options.paced_rate(), options.messages);
            let messages = messages.or(Some(rate * 5));
            let options = Options { rate: Some(rate), messages, ..options.clone() };
            rest("w3", &options, &systems(&options))?
        }
        Bench::W3(options) if options.through.is_some() => {
            return Err("w3 goes through rest; w1 goes through kafka and mqtt".into());
        }
        Bench::W3(options) => latency(options, &systems(options))?,
        Bench::W4(options) => w4::run(options)?,
        Bench::Rest(options) => rest("rest", options, &systems(options))?,
        Bench::Grid(options) => return grid::run(options),
        Bench::Memory(options) => return memory::run(options),
        Bench::States(options) => return states::run(options),
        Bench::W4Life(options) => return w4::live(options).map(|()| Verdict::Ok),
    };
    profile(bench)?;
    Ok(summary.check)
}

/// Where the time goes, if that is asked for.
fn profile(bench: &Bench) -> Result<()> {
    match bench {
        Bench::W1(options) if options.profile => profile::run("w1", options),
        Bench::W2(options) if options.profile => profile::run("w2", options),
        Bench::W3(options) if options.profile => profile::run("w3", options),
        Bench::W4(W4Options { options, .. }) | Bench::Rest(options) if options.profile => {
            Err("--profile is for w1, w2 and w3".into())
        }
        _ => Ok(()),
    }
}

/// The systems that take part, the limit first.
pub(crate) fn systems(options: &Options) -> Vec<Box<dyn System>> {
    let engine = engine(options);
    match options.system {
        Systems::Limit => vec![Box::new(Limit)],
        Systems::Twinflow => vec![Box::new(engine)],
        Systems::Both => vec![Box::new(Limit), Box::new(engine)],
    }
}

/// The engine that takes part.
pub(crate) fn engine(options: &Options) -> Twinflow {
    let engine = Twinflow::new(options.durable_or_off());
    engine.keyed(options.keyed).message(options.message)
}

/// What the runs of one workload have given so far.
struct Session<'o> {
    options: &'o Options,
    workload: &'static str,
    summary: Summary,
    limit_rates: Vec<f64>,
    pairs: Vec<(f64, f64)>,
    /// Latencies of the system that is asked for, and of what it is compared with.
    latencies: Vec<Latency>,
    floors: Vec<Latency>,
    acknowledged: Vec<Latency>,
    /// All latencies of all runs, by what they are of.
    curves: Vec<(String, Histogram)>,
}

impl<'o> Session<'o> {
    fn new(options: &'o Options, workload: &'static str) -> Result<Self> {
        let workers = usize::try_from(options.workers)?;
        Ok(Self {
            options,
            workload,
            summary: Summary::new(workload, workers, options.twins),
            limit_rates: Vec::new(),
            pairs: Vec::new(),
            latencies: Vec::new(),
            floors: Vec::new(),
            acknowledged: Vec::new(),
            curves: Vec::new(),
        })
    }

    /// Prints the line of a run.
    fn report(&self, system: &str, run: &Measured, note: &str) {
        if self.options.quiet {
            return;
        }
        let summary = &self.summary;
        ResultLine::new(system, self.workload, summary.twins, summary.workers, run)
            .with_note(note)
            .print(self.options.json);
    }

    /// Counts a run of a system, whose output check must be `expected`.
    fn count(&mut self, system: &dyn System, run: &Measured, expected: Option<Check>, note: &str) {
        let right = run.check == expected;
        if !right {
            self.summary.check = Verdict::Wrong;
        }
        self.report(system.name(), run, if right { note } else { "wrong check" });
        if system.name() == Limit.name() {
            self.limit_rates.push(run.rate());
        } else if let Some(limit) = self.limit_rates.last() {
            self.pairs.push((*limit, run.rate()));
        }
    }

    /// Adds the latencies of a run to the curve of its name.
    fn draw(&mut self, name: &str, run: &Measured) {
        let Some(latency) = &run.latency else { return };
        match self.curves.iter_mut().find(|(known, _)| known == name) {
            Some((_, all)) => all.merge(latency),
            None => self.curves.push((name.to_owned(), latency.clone())),
        }
    }

    /// Draws the curves, if that is asked for.
    fn plot(&self, title: &str) -> Result<()> {
        match &self.options.plots {
            Some(dir) => plots::write(dir, "latency.svg", &plots::latencies(title, &self.curves)),
            None => Ok(()),
        }
    }

    /// Prints the summary.
    fn finish(mut self) -> Summary {
        self.summary.ratio = Ratio::of_pairs(&self.pairs);
        self.summary.limit_msgs_per_s = median(&self.limit_rates).map(|rate| rate as u64);
        self.summary.latency = median_latency(&self.latencies);
        self.summary.floor = median_latency(&self.floors).map(Into::into);
        self.summary.acknowledged = median_latency(&self.acknowledged).map(Into::into);
        if !self.options.quiet {
            self.summary.print(self.options.json);
        }
        self.summary
    }
}

/// W1 and W2: systems run in turn over the same records.
pub(crate) fn throughput(
    name: &'static str,
    workload: Workload,
    options: &Options,
    systems: &[Box<dyn System>],
) -> Result<Summary> {
    let data = options.data_set(name)?;
    eprintln!("{} messages; expecting what one thread gives", data.len());
    let expected = Limit::expected(workload, &data)?;
    let mut session = Session::new(options, name)?;
    let mut parse_rates = Vec::new();
    for number in 1..=options.runs {
        eprintln!("run {number} of {}", options.runs);
        let bare_loop = options.through.is_none() && options.system != Systems::Twinflow;
        let parse_only = (workload == Workload::W1 && bare_loop)
            .then(|| Limit::parse_only(&data))
            .transpose()?;
        if let Some(parsed) = &parse_only {
            session.report("parse-only", parsed, "");
            parse_rates.push(parsed.rate());
        }
        for system in systems {
            let run = system.throughput(workload, &data)?;
            session.count(&**system, &run, Some(expected), "");
        }
    }
    if systems.len() > 1 {
        // First and last is the limit, so that a machine that became slower shows.
        let run = systems[0].throughput(workload, &data)?;
        session.count(&*systems[0], &run, Some(expected), "closing");
    }
    session.summary.parse_only_msgs_per_s = median(&parse_rates).map(|rate| rate as u64);
    judge_limit(&mut session, &parse_rates);
    Ok(session.finish())
}

/// A limit that takes more than twice the time of its parser alone is no limit.
fn judge_limit(session: &mut Session<'_>, parse_rates: &[f64]) {
    if let (Some(parse), Some(limit)) = (median(parse_rates), median(&session.limit_rates))
        && limit * 2.0 < parse
        && session.summary.check == Verdict::Ok
    {
        eprintln!("the limit is slower than twice its parse-only line: these figures are void");
        session.summary.check = Verdict::Void;
    }
}

/// W3: each run has its own wake floor beside it.
fn latency(options: &Options, systems: &[Box<dyn System>]) -> Result<Summary> {
    let data = options.data_set("w3")?;
    let expected = Limit::expected(Workload::W1, &data)?;
    let mut session = Session::new(options, "w3")?;
    let rate = options.paced_rate();
    for number in 1..=options.runs {
        eprintln!("run {number} of {}: {} messages at {rate} a second", options.runs, data.len());
        let floor = measure_floor(data.len().min(FLOOR_SAMPLES));
        session.report("wake-floor", &floor, "there and back between two parked threads");
        session.draw("wake-floor", &floor);
        session.floors.extend(figures(&floor));
        for (i, system) in systems.iter().enumerate() {
            let run = system.latency(&data, rate)?;
            session.count(&**system, &run, Some(expected), "");
            session.draw(system.name(), &run);
            if let Some(latency) = run.acknowledged.clone() {
                let told = Measured { check: None, latency: Some(latency), ..run.clone() };
                session.report("acknowledged", &told, "from due to acknowledged, the same run");
                session.draw("acknowledged", &told);
                session.acknowledged.extend(figures(&told));
            }
            if i + 1 == systems.len() {
                session.latencies.extend(figures(&run));
            }
        }
    }
    session.plot(&format!("latency at {rate} messages a second, {} workers", options.workers))?;
    // All systems keep the rate that is given: a ratio of rates says nothing here.
    session.pairs.clear();
    Ok(session.finish())
}

/// The wake floor as a run.
fn measure_floor(samples: usize) -> Measured {
    let meter = crate::meter::Meter::start();
    let latency = w3::wake_floor(samples);
    let usage = meter.stop();
    let run = Measured::new(usage, latency.len());
    Measured { latency: Some(latency), ..run }
}

/// REST, and W3 through it: the limit is the bare handler, and what is beneath the engine's
/// latencies. Twins are checked as ever; the bare handler has none.
fn rest(workload: &'static str, options: &Options, systems: &[Box<dyn System>]) -> Result<Summary> {
    let data = options.data_set("rest")?;
    let expected = Limit::expected(Workload::W1, &data)?;
    let connections = usize::try_from(options.connections)?;
    let mut session = Session::new(options, workload)?;
    session.summary.connections = Some(connections);
    let note = format!("{connections} connections");
    for number in 1..=options.runs {
        eprintln!("run {number} of {}: {} requests", options.runs, data.len());
        for (i, system) in systems.iter().enumerate() {
            let run = request(&**system, &data, connections, options)?;
            let of_engine = (system.name() == Twinflow::NAME).then_some(expected);
            session.count(&**system, &run, of_engine, &note);
            session.draw(system.name(), &run);
            if i + 1 == systems.len() {
                session.latencies.extend(figures(&run));
            }
            if system.name() == Limit.name() {
                session.floors.extend(figures(&run));
            }
        }
    }
    session.plot(&format!("{workload} over {connections} connections of HTTP"))?;
    Ok(session.finish())
}

/// Loads a fresh server of one system.
fn request(
    system: &dyn System,
    data: &DataSet,
    connections: usize,
    options: &Options,
) -> Result<Measured> {
    let server = system.serve(usize::try_from(options.workers)?)?;
    let records = &data.partitions()[0];
    let key = server.key();
    let load = Load { address: server.address(), records, connections, rate: options.rate, key };
    let run = client::load(&load)?;
    Ok(Measured { check: server.check(), ..run })
}

/// The quoted latencies of a run.
fn figures(run: &Measured) -> Option<Latency> {
    run.latency.as_ref().map(Histogram::figures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Args;
    use crate::system::{Durable, Server};
    use clap::Parser;

    /// A second system: the limit under another name, and in W2 with a check of its own.
    struct Other;

    impl System for Other {
        fn name(&self) -> &'static str {
            "other"
        }

        fn throughput(&self, workload: Workload, data: &DataSet) -> Result<Measured> {
            let mut run = Limit.throughput(workload, data)?;
            if let (Workload::W2, Some(check)) = (workload, &mut run.check) {
                check.add(1);
            }
            Ok(run)
        }

        fn latency(&self, data: &DataSet, rate: u64) -> Result<Measured> {
            Limit.latency(data, rate)
        }

        fn serve(&self, workers: usize) -> Result<Box<dyn Server>> {
            Limit.serve(workers)
        }
    }

    fn options(line: &str) -> Options {
        let line = format!("twinflow-bench w1 --twins 10 --runs 2 --json {line}");
        match Args::try_parse_from(line.split_whitespace()).unwrap().bench {
            Bench::W1(options) => options,
            other => panic!("{other:?}"),
        }
    }

    fn both() -> Vec<Box<dyn System>> {
        vec![Box::new(Limit), Box::new(Other)]
    }

    #[test]
    fn pairs_of_runs_give_a_ratio() {
        let options = options("--messages 2000 --workers 2");
        let summary = throughput("w1", Workload::W1, &options, &both()).unwrap();
        assert!(summary.ratio.is_some() && summary.parse_only_msgs_per_s.is_some());
        assert_ne!(summary.check, Verdict::Wrong);
    }

    #[test]
    fn a_wrong_check_is_seen() {
        let summary = throughput("w2", Workload::W2, &options("--messages 2000"), &both()).unwrap();
        assert_eq!(summary.check, Verdict::Wrong);
    }

    #[test]
    fn a_limit_slower_than_twice_its_parser_is_void() {
        let options = options("");
        let mut session = Session::new(&options, "w1").unwrap();
        session.limit_rates = vec![1.0, 5.0, 5.0];
        judge_limit(&mut session, &[9.0]);
        assert_eq!(session.summary.check, Verdict::Ok);
        judge_limit(&mut session, &[11.0]);
        assert_eq!(session.summary.check, Verdict::Void);
    }

    #[test]
    fn what_comes_over_http_is_checked() {
        let options = options("--messages 300 --connections 3 --workers 2");
        let engine = || -> Vec<Box<dyn System>> { vec![Box::new(Twinflow::new(Durable::Off))] };
        assert_eq!(rest("rest", &options, &engine()).unwrap().check, Verdict::Ok);
        let paced = Options { rate: Some(2_000), ..options };
        assert_eq!(rest("w3", &paced, &engine()).unwrap().check, Verdict::Ok);
    }

    #[test]
    fn latencies_stand_beside_their_floor() {
        let options = options("--messages 200");
        let dir = tempfile::tempdir().unwrap();
        let drawn = Options { plots: Some(dir.path().to_owned()), ..options.clone() };
        let summary = latency(&drawn, &both()).unwrap();
        let picture = std::fs::read_to_string(dir.path().join("latency.svg")).unwrap();
        assert!(["wake-floor", "limit", "other"].iter().all(|name| picture.contains(name)));
        assert!(summary.latency.is_some() && summary.floor.is_some() && summary.ratio.is_none());
        let summary = rest("rest", &options, &both()).unwrap();
        assert!(summary.latency.is_some() && summary.floor.is_some() && summary.ratio.is_some());
    }
}
