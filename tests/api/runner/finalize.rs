//! `PUT /api/v4/jobs/:id`, row by row, while the stores are well; see `unwell` for the others.

use serde_json::{Value, json};

use crate::support::server::{Binary, Send as _, ended, log};

#[tokio::test]
async fn running_answers_200_and_its_checksum_is_never_held_against_the_log() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    client.append_all(&job, 0, b"half of ").await;
    let goes_on = json!({"state": "running", "output": {"checksum": "crc32:ed82cd11", "bytesize": 4_000_000},
        "info": {"features": {"trace_reset": true}}});
    for _ in 0..2 {
        let answer = client.put(&job, &goes_on).await;
        assert_eq!((answer.state(), answer.interval()), ((200, "running"), ""));
    }
    client.append_all(&job, 8, b"it").await;
    let report = client.integrity(&job).await;
    assert_eq!((&report["verdict"], report.get("claim"), &report["mismatches"]), (&json!("pending"), None, &json!([])));
    server.assert_untroubled().await;
}

#[tokio::test]
async fn ended_with_a_true_claim_answers_200_and_is_proven() {
    let server = Binary::start(&[]);
    let client = server.client();
    for (state, size) in [("success", 0), ("failed", 1), ("success", 131_072), ("failed", 300_000)] {
        let (job, log) = (client.make_job().await, log(size));
        if size > 0 {
            client.append_all(&job, 0, &log).await;
        }
        let done = client.put_until_decided(&job, &ended(state, &log, true)).await;
        assert_eq!((done.state(), done.interval(), done.text()), ((200, state), "", r#"{"message":"200 OK"}"#));
        let report = client.integrity(&job).await;
        assert_eq!((&report["verdict"], &report["size"]), (&json!("verified"), &json!(size)), "{report:#}");
        assert_eq!(report["crc32"], format!("{:08x}", crc32fast::hash(&log)));
        let stores: Vec<&Value> =
            report["chunks"].as_array().expect("chunks").iter().map(|c| &c["data_store"]).collect();
        assert!(stores.iter().all(|store| *store == "object_store"), "{report:#}");
        assert_eq!(stores.len(), size.div_ceil(131_072));
        assert!(client.trace(&job).await == log);
    }
    server.assert_untroubled().await;
}

/// The vectors by which other implementations of the checksum can be held against this one.
#[tokio::test]
async fn crc_vectors_are_accepted_in_every_spelling() {
    let server = Binary::start(&[]);
    let client = server.client();
    let kib = 1024;
    let abc = [vec![b'a'; 128 * kib], vec![b'b'; 128 * kib], vec![b'c'; 17]].concat();
    let vectors: [(Vec<u8>, &str, &str); 5] = [
        (b"abcd".to_vec(), "crc32:ed82cd11", "ed82cd11"),
        (vec![b'a'; 128 * kib], "crc32:ca975130", "ca975130"),
        (abc, "crc32:d4777540", "d4777540"),
        (b"abcd".to_vec(), "crc32:ED82CD11", "ed82cd11"),
        // Old runners print no leading zeros.
        (b"".to_vec(), "crc32:0", "00000000"),
    ];
    assert_eq!(3_398_914_352_u32, 0xca97_5130);
    for (log, claim, crc32) in vectors {
        for body in [
            json!({"state": "success", "output": {"checksum": claim, "bytesize": log.len()}}),
            json!({"state": "success", "checksum": claim}),
        ] {
            let job = client.make_job().await;
            for (at, patch) in log.chunks(100_000).enumerate() {
                client.append_all(&job, at * 100_000, patch).await;
            }
            assert_eq!(client.put_until_decided(&job, &body).await.state(), (200, "success"), "{claim}");
            let report = client.integrity(&job).await;
            assert_eq!((&report["verdict"], &report["crc32"]), (&json!("verified"), &json!(crc32)), "{claim}");
        }
    }
    server.assert_untroubled().await;
}

#[tokio::test]
async fn ended_without_a_claim_answers_200_and_is_unclaimed() {
    let server = Binary::start(&[]);
    let client = server.client();
    for body in [
        json!({"state": "success"}),
        json!({"state": "success", "output": {"checksum": "", "bytesize": 0}}),
        json!({"state": "success", "checksum": "md5:00"}),
    ] {
        let job = client.make_job().await;
        client.append_all(&job, 0, b"no claim").await;
        assert_eq!(client.put(&job, &body).await.state(), (200, "success"), "{body}");
        let report = client.integrity_until(&job, "a verdict", |report| report["verdict"] != "pending").await;
        assert_eq!((&report["verdict"], &report["mismatches"]), (&json!("unclaimed"), &json!([])), "{body}");
        assert_eq!(client.trace(&job).await, "no claim");
    }
    server.assert_untroubled().await;
}

#[tokio::test]
async fn the_same_final_put_again_answers_200_and_another_403() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    client.append_all(&job, 0, b"log").await;
    let first = ended("success", b"log", true);
    for _ in 0..3 {
        assert_eq!(client.put_until_decided(&job, &first).await.state(), (200, "success"));
    }
    for other in [ended("failed", b"log", true), ended("success", b"other", true), json!({"state": "failed"})] {
        assert_eq!(client.put(&job, &other).await.state(), (403, "success"), "{other}");
    }
    assert_eq!(client.put(&job, &json!({"state": "running"})).await.state(), (403, "success"));
    assert_eq!(client.integrity(&job).await["verdict"], "verified");
    server.assert_untroubled().await;
}

#[tokio::test]
async fn unknown_state_answers_400_and_the_job_goes_on() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    for state in
        [json!("done"), json!("pending"), json!("canceling"), json!(""), json!(7), json!(null), json!(["success"])]
    {
        let answer = client.put(&job, &json!({ "state": state })).await;
        assert_eq!((answer.status, answer.header("Job-Status")), (400, ""), "{state}");
    }
    assert_eq!(client.put(&job, &json!({})).await.status, 400);
    client.append_all(&job, 0, b"on").await;
    server.assert_untroubled().await;
}

/// The runner has more than it managed to send: it is sent back to where its log ends here, and keeps what it sent.
#[tokio::test]
async fn ended_with_more_than_was_sent_answers_412_until_the_rest_came() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    let log = log(200_000);
    client.append_all(&job, 0, &log[..150_000]).await;
    let put = ended("success", &log, true);
    let asked = client.put_until_decided(&job, &put).await;
    assert_eq!((asked.state(), asked.interval()), ((412, "running"), "1"));
    assert_eq!(client.append(&job, 0, &log).await.place(), (416, "0-150000"));
    client.append_all(&job, 150_000, &log[150_000..]).await;
    assert_eq!(client.put_until_decided(&job, &put).await.state(), (200, "success"));
    let report = client.integrity(&job).await;
    assert_eq!((&report["verdict"], &report["mismatches"]), (&json!("verified"), &json!([])), "{report:#}");
    assert!(client.trace(&job).await == log);
    server.assert_untroubled().await;
}

#[tokio::test]
async fn ended_with_more_than_it_can_send_answers_200_and_is_corrupt() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job_with_reset(false).await;
    client.append_all(&job, 0, b"part").await;
    let done = client.put_until_decided(&job, &ended("success", b"part and more", false)).await;
    assert_eq!(done.state(), (200, "success"));
    let report = client.integrity(&job).await;
    assert_eq!(report["verdict"], "corrupt", "{report:#}");
    let mismatches = report["mismatches"].as_array().expect("mismatches");
    assert_eq!(mismatches.len(), 1, "{report:#}");
    assert_eq!((&mismatches[0]["kind"], &mismatches[0]["state"]), (&json!("gap"), &json!("open")));
    assert_eq!(server.client().metric("veritail_panics_total", "").await, 0.0);
}

#[tokio::test]
async fn after_all_resend_attempts_answers_200_and_is_corrupt() {
    let server = Binary::start(&[("VERITAIL_RESEND_ATTEMPTS", "2")]);
    let client = server.client();
    let job = client.make_job_with_reset(true).await;
    client.append_all(&job, 0, b"part").await;
    let put = ended("success", b"part and more", true);
    let mut asked = 0;
    let done = loop {
        let answer = client.put_until_decided(&job, &put).await;
        if answer.status != 412 {
            break answer;
        }
        asked += 1;
        assert!(asked <= 10, "asked for ever");
        assert_eq!(client.append(&job, 0, b"part").await.place(), (416, "0-4"));
    };
    let report = client.integrity(&job).await;
    assert_eq!((done.state(), &report["verdict"]), ((200, "success"), &json!("corrupt")), "{report:#}");
    assert_eq!(asked, 2, "as often as is set");
}

#[tokio::test]
async fn a_claim_that_nothing_confirms_answers_200_and_the_runner_disagrees() {
    let server = Binary::start(&[]);
    let client = server.client();
    // It cannot send again.
    let job = client.make_job_with_reset(false).await;
    client.append_all(&job, 0, b"true").await;
    assert_eq!(client.put_until_decided(&job, &ended("success", b"fals", false)).await.state(), (200, "success"));
    let report = client.integrity(&job).await;
    assert_eq!((&report["verdict"], &report["mismatches"]), (&json!("runner_disagrees"), &json!([])));

    // It can, and everything comes once more: the same.
    let job = client.make_job().await;
    client.append_all(&job, 0, b"true").await;
    let put = ended("success", b"fals", true);
    assert_eq!(client.put_until_decided(&job, &put).await.state(), (412, "running"));
    client.append_all(&job, 0, b"true").await;
    assert_eq!(client.put_until_decided(&job, &put).await.state(), (200, "success"));
    let report = client.integrity(&job).await;
    assert_eq!((&report["verdict"], &report["mismatches"]), (&json!("runner_disagrees"), &json!([])));

    // It has fewer bytes than came: it is never told to skip beyond what it has.
    let job = client.make_job().await;
    client.append_all(&job, 0, b"longer").await;
    let put = ended("success", b"long", true);
    let mut answer = client.put_until_decided(&job, &put).await;
    for _ in 0..5 {
        if answer.status != 412 {
            break;
        }
        let resent = client.append(&job, 0, b"long").await;
        assert!(matches!(resent.place(), (202, "0-4") | (416, "0-4")), "{:?}", resent.place());
        answer = client.put_until_decided(&job, &put).await;
    }
    assert_eq!(answer.state(), (200, "success"), "{}", answer.text());
    server.assert_untroubled().await;
}

#[tokio::test]
async fn final_put_of_a_job_nobody_knows_answers_403() {
    let server = Binary::start(&[]);
    let client = server.client();
    let job = client.make_job().await;
    let mut stranger = job.clone();
    stranger.token = "wrong".to_owned();
    for state in ["success", "running", "done"] {
        let answer = client.put_request(&stranger, &json!({ "state": state })).answer().await;
        assert_eq!(answer.state(), (403, ""), "{state}");
    }
    server.assert_untroubled().await;
}
