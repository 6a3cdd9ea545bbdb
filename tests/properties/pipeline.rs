//! However a log is cut into patches, and a patch into pieces, the pipeline keeps and gives back the same bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use veritail::pipeline::{AppendRequest, Appended, BodyBroken, Finalized};
use veritail::store::database::Database;
use veritail::trace::{ByteSize, ChunkIndex, Crc32, JobStatus, Offset, Record, Timestamp, Verdict};

use crate::patches::cut;
use crate::rig::{Rig, now};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_cut_is_readable_at_any_time_and_proven_in_the_end(
        log in vec(any::<u8>(), 0..400), chunk_size in 1u32..90, piece in 1usize..50,
        cuts in vec(any::<prop::sample::Index>(), 0..8), range in any::<(prop::sample::Index, prop::sample::Index)>()
    ) {
        now(async {
            let rig = Rig::new(chunk_size).await;
            let mut sent = 0;
            for patch in cut(&log, &cuts) {
                let accepted = rig.append(sent, &patch, piece).await;
                sent += patch.len();
                let length = Offset(sent as u64);
                prop_assert!(matches!(accepted, Appended::Accepted { length: now, .. } if now == length), "{:?}", accepted);
                prop_assert_eq!(rig.read(0, u64::MAX).await, &log[..sent]);
                // The same patch again, or one from beyond, changes nothing.
                for elsewhere in [sent - patch.len(), sent + 1] {
                    if elsewhere != sent {
                        prop_assert_eq!(rig.append(elsewhere, b"other", 1).await, Appended::Elsewhere { position: length });
                    }
                }
            }
            let (one, other) = (range.0.index(log.len() + 1), range.1.index(log.len() + 1));
            let (from, to) = (one.min(other), one.max(other));
            prop_assert_eq!(rig.read(from as u64, to as u64).await, &log[from..to]);

            prop_assert_eq!(rig.finalize(&log).await, Finalized::Done { status: JobStatus::Success });
            let job = rig.database.job(rig.job).await.expect("a model").expect("a job");
            let whole = (job.verdict, job.size, job.crc32);
            prop_assert_eq!(whole, (Verdict::Verified, Some(ByteSize::of(&log)), Some(Crc32::of(&log))));
            let rows = rig.database.chunks(rig.job, ChunkIndex(0), 1000).await.expect("a model");
            let records: Vec<Record> = rows.iter().filter_map(|row| row.record()).copied().collect();
            let expected: Vec<Record> = log.chunks(chunk_size as usize).map(Record::of).collect();
            prop_assert_eq!(records, expected);
            prop_assert_eq!(rig.read(0, u64::MAX).await, log);
            Ok(())
        })?;
    }
}

/// An append is moved into a box for each layer around its handler: room for what it hardly ever waits for is copied each time.
#[test]
fn an_append_carries_no_room_for_what_is_rare() {
    now(async {
        let rig = Rig::new(64).await;
        let request = AppendRequest {
            job: rig.job,
            made_at: Timestamp(0),
            trace_limit: ByteSize::ZERO,
            start: Offset::ZERO,
            declared: None,
        };
        let body = futures::stream::empty::<Result<bytes::Bytes, BodyBroken>>();
        let size = size_of_val(&rig.node.append(request, body));
        assert!(size < 4096, "{size} bytes");
    });
}
