//! The sweep: W1 and W2 over distributions, numbers of twins, sizes and workers, as one table.
//!
//! Estimate: a cell is three pairs of half a second and a second or two for its records: five
//! seconds; 48 cells take four minutes.

use serde::Serialize;

use crate::Result;
use crate::args::{GridOptions, GridWorkload, value};
use crate::bench::{systems, throughput};
use crate::plots::{self, Row};
use crate::result::{Ratio, Verdict, print_pairs};
use crate::system::Workload;

/// What a cell has given.
#[derive(Clone, Debug, Serialize)]
struct Cell {
    cell: bool,
    workload: String,
    dist: String,
    twins: u64,
    bytes: usize,
    workers: u64,
    #[serde(flatten)]
    ratio: Option<Ratio>,
    limit_msgs_per_s: Option<u64>,
    check: Verdict,
}

#[derive(Debug, Serialize)]
struct Summary {
    summary: bool,
    workload: &'static str,
    cells: usize,
    check: Verdict,
}

/// Runs all cells, prints each and the table.
///
/// # Errors
///
/// A cell that cannot be run, and a picture that cannot be written.
pub fn run(grid: &GridOptions) -> Result<Verdict> {
    let mut cells = Vec::new();
    for &workload in &grid.workloads {
        for &dist in &grid.dists {
            for &twins in &grid.twins {
                for &bytes in &grid.bytes {
                    for &workers in &grid.workers {
                        let options = grid.options(dist, twins, bytes, workers);
                        let (name, of) = match workload {
                            GridWorkload::W1 => ("w1", Workload::W1),
                            GridWorkload::W2 => ("w2", Workload::W2),
                        };
                        let summary = throughput(name, of, &options, &systems(&options))?;
                        let cell = Cell {
                            cell: true,
                            workload: value(&workload),
                            dist: value(&dist),
                            twins,
                            bytes,
                            workers,
                            ratio: summary.ratio,
                            limit_msgs_per_s: summary.limit_msgs_per_s,
                            check: summary.check,
                        };
                        if grid.json {
                            print_pairs(&cell, true);
                        }
                        cells.push(cell);
                    }
                }
            }
        }
    }
    let (columns, rows) = table(&cells);
    if !grid.json {
        print(&columns, &rows);
    }
    if let Some(dir) = &grid.plots {
        let title = "rate of the engine over the rate of its limit";
        plots::write(dir, "ratios.svg", &plots::ratio_table(title, &columns, &rows))?;
    }
    let check = worst(cells.iter().map(|cell| cell.check));
    let summary = Summary { summary: true, workload: "grid", cells: cells.len(), check };
    print_pairs(&summary, grid.json);
    Ok(check)
}

/// A wrong cell makes a wrong grid, and a void one a void grid.
fn worst(checks: impl Iterator<Item = Verdict>) -> Verdict {
    let rank = |check: &Verdict| match check {
        Verdict::Ok => 0,
        Verdict::Void => 1,
        Verdict::Wrong => 2,
    };
    checks.max_by_key(rank).unwrap_or(Verdict::Void)
}

/// A row for all but the workers, a column for each number of them.
fn table(cells: &[Cell]) -> (Vec<String>, Vec<Row>) {
    let mut workers: Vec<u64> = cells.iter().map(|cell| cell.workers).collect();
    workers.sort_unstable();
    workers.dedup();
    let columns = workers.iter().map(|of| format!("{of} workers")).collect();
    let mut rows = Vec::<Row>::new();
    for cell in cells {
        let Cell { workload, dist, twins, bytes, .. } = cell;
        let name = format!("{workload} {dist} {twins} twins {bytes} B");
        if rows.last().is_none_or(|(last, _)| *last != name) {
            rows.push((name, vec![None; workers.len()]));
        }
        let column = workers.iter().position(|of| *of == cell.workers);
        if let (Some(column), Some((_, ratios))) = (column, rows.last_mut()) {
            ratios[column] = cell.ratio.map(|ratio| ratio.median());
        }
    }
    (columns, rows)
}

fn print(columns: &[String], rows: &[Row]) {
    let head: String = columns.iter().map(|column| format!("{column:>12}")).collect();
    println!("{:<36}{head}", "ratio to the limit");
    for (name, ratios) in rows {
        let ratios = ratios.iter().map(|ratio| match ratio {
            Some(ratio) => format!("{ratio:>12.2}"),
            None => format!("{:>12}", "-"),
        });
        println!("{name:<36}{}", ratios.collect::<String>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Bench};
    use clap::Parser;

    fn cell(twins: u64, workers: u64, ratio: f64) -> Cell {
        Cell {
            cell: true,
            workload: "w1".into(),
            dist: "zipf".into(),
            twins,
            bytes: 100,
            workers,
            ratio: Ratio::of_pairs(&[(1.0, ratio)]),
            limit_msgs_per_s: None,
            check: Verdict::Ok,
        }
    }

    #[test]
    fn workers_stand_side_by_side() {
        let (columns, rows) = table(&[cell(5, 1, 0.5), cell(5, 2, 0.25), cell(7, 2, 0.75)]);
        assert_eq!(columns, ["1 workers", "2 workers"]);
        let expected = [
            ("w1 zipf 5 twins 100 B".to_owned(), vec![Some(0.5), Some(0.25)]),
            ("w1 zipf 7 twins 100 B".to_owned(), vec![None, Some(0.75)]),
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn one_wrong_cell_is_enough() {
        assert_eq!(worst([Verdict::Ok, Verdict::Wrong, Verdict::Void].into_iter()), Verdict::Wrong);
        assert_eq!(worst([Verdict::Ok, Verdict::Void].into_iter()), Verdict::Void);
    }

    #[test]
    fn every_cell_is_run_and_drawn() {
        let dir = tempfile::tempdir().unwrap();
        let line = format!(
            "bench grid --workloads w2 --dists uniform,zipf --twins 10,20 --bytes 100 \
             --workers 1,2 --runs 1 --messages 2000 --json --plots {}",
            dir.path().display()
        );
        let Bench::Grid(grid) = Args::try_parse_from(line.split_whitespace()).unwrap().bench else {
            panic!("it is a grid");
        };
        assert_eq!(run(&grid).unwrap(), Verdict::Ok);
        let picture = std::fs::read_to_string(dir.path().join("ratios.svg")).unwrap();
        assert_eq!(picture.matches("<rect").count(), 9);
    }
}
