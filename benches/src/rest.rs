//! REST: requests over connections that stay open, against a bare handler and later the engine.
//!
//! Estimate: a request and its answer are four system calls of 2-5 us a side and two wake-ups
//! of 5-10 us, so 30-60 us with one connection, 20,000 requests a second. With 64 connections the
//! wake-ups are shared and both sides work all the time: 40,000-60,000 a second on two cores, and
//! by Little's law 64 / 50,000 = 1.3 ms each.

mod bare;
mod client;

pub use bare::BareServer;
pub use client::{Load, load};

/// The name under which the served model is registered.
pub const MODEL: &str = "counting";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Amount, DataSet, Plan};
    use crate::draw::Distribution;
    use crate::payload::Size;
    use crate::record::{Format, Partition};
    use crate::system::Server;
    use bytes::Bytes;

    fn data() -> DataSet {
        DataSet::generate(&Plan {
            format: Format::Json,
            size: Size::Small,
            twins: 100,
            distribution: Distribution::Uniform,
            amount: Amount::Total(500),
            sources: 1,
        })
    }

    fn run(data: &DataSet, rate: Option<u64>) -> crate::Result<crate::system::Measured> {
        let server = BareServer::start(1).unwrap();
        load(&Load {
            address: server.address(),
            records: &data.partitions()[0],
            connections: 3,
            rate,
            key: None,
        })
    }

    #[test]
    fn every_request_is_answered_in_a_closed_loop() {
        let run = run(&data(), None).unwrap();
        assert_eq!(run.latency.unwrap().len(), 500);
    }

    #[test]
    fn every_request_is_answered_at_a_rate() {
        let run = run(&data(), Some(5_000)).unwrap();
        assert_eq!(run.latency.unwrap().len(), 500);
        assert!(run.usage.seconds > 0.099);
    }

    #[test]
    fn a_refused_message_fails_the_run() {
        let records = Bytes::from(format!("twin-0000000\t{:100}\n", "{"));
        let layout = Format::Json.layout(Size::Small);
        let data = DataSet::of(vec![Partition::new(records, layout)]);
        let error = run(&data, None).unwrap_err().to_string();
        assert_eq!(error, "a message was answered with 400 Bad Request");
    }
}
