//! Programs of the folder `examples` that say by themselves whether all went well.

#[path = "../../examples/custom_operator.rs"]
mod custom_operator;
#[path = "../../examples/enrich_from_table.rs"]
mod enrich_from_table;
#[cfg(feature = "live-views")]
#[path = "../../examples/live_view.rs"]
mod live_view;

#[test]
fn the_example_custom_operator_does_what_it_says() {
    custom_operator::main().unwrap();
}

#[test]
fn the_example_enrich_from_table_does_what_it_says() {
    enrich_from_table::main().unwrap();
}

#[cfg(feature = "live-views")]
#[test]
fn the_example_live_view_does_what_it_says() {
    live_view::main().unwrap();
}
