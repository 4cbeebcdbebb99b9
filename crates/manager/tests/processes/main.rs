//! The manager as a process with worker processes, over a real socket, killed at every moment.
//!
//! This program is all three: without arguments the tests, with `manager` a manager, with `worker` a stand-in for a worker that
//! speaks the control protocol and does nothing else.

mod api;
mod crash;
mod host;
mod stand_in;
mod workers;

use libtest_mimic::{Arguments, Failed, Trial};

type Outcome = Result<(), Failed>;
type Test = (&'static str, fn() -> Outcome);

const TESTS: &[Test] = &[
    (
        "api::a_vgpu_is_created_shown_and_deleted",
        api::a_vgpu_is_created_shown_and_deleted,
    ),
    ("api::refusals_say_what_and_why", api::refusals_say_what_and_why),
    (
        "api::types_tell_what_can_be_created",
        api::types_tell_what_can_be_created,
    ),
    (
        "api::requests_that_make_no_sense",
        api::requests_that_make_no_sense,
    ),
    (
        "api::the_description_has_every_path",
        api::the_description_has_every_path,
    ),
    ("api::events_are_followed", api::events_are_followed),
    (
        "api::usage_comes_from_the_worker",
        api::usage_comes_from_the_worker,
    ),
    (
        "api::creations_at_the_same_time_fill_the_gpu_and_no_more",
        api::creations_at_the_same_time,
    ),
    (
        "workers::a_killed_worker_is_reported_and_replaced",
        workers::a_killed_worker_is_reported_and_replaced,
    ),
    (
        "workers::a_worker_that_keeps_dying_is_given_up",
        workers::a_worker_that_keeps_dying_is_given_up,
    ),
    (
        "workers::a_worker_that_cannot_start_leaves_nothing",
        workers::a_worker_that_cannot_start_leaves_nothing,
    ),
    (
        "workers::a_worker_that_does_not_end_is_killed",
        workers::a_worker_that_does_not_end_is_killed,
    ),
    (
        "workers::workers_can_be_stopped_with_the_manager",
        workers::workers_can_be_stopped_with_the_manager,
    ),
    (
        "crash::a_restarted_manager_takes_its_workers_back",
        crash::a_restarted_manager_takes_its_workers_back,
    ),
    (
        "crash::workers_that_died_meanwhile_are_replaced",
        crash::workers_that_died_meanwhile_are_replaced,
    ),
    (
        "crash::at_every_moment_of_a_creation",
        crash::at_every_moment_of_a_creation,
    ),
    (
        "crash::at_every_moment_of_a_deletion",
        crash::at_every_moment_of_a_deletion,
    ),
    (
        "crash::two_managers_do_not_share_a_state",
        crash::two_managers_do_not_share_a_state,
    ),
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("manager") => return stand_in::manager(&arguments[2..]),
        Some("worker") => return stand_in::worker(&arguments[2..]),
        _ => {}
    }
    let mut arguments = Arguments::from_args();
    // Each test is several processes; the machine is shared.
    arguments.test_threads.get_or_insert(2);
    let trials = TESTS
        .iter()
        .map(|&(name, test)| Trial::test(name, test))
        .collect();
    libtest_mimic::run(&arguments, trials).exit();
}
