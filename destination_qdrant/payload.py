"""The payload fields of the connector, each named here and nowhere else."""

from __future__ import annotations

STREAM = "_ab_stream"  #            as Airbyte's connector writes it: namespace and name joined by "_"
NAMESPACE = "_ab_namespace"  #      "" for none; with STREAM it tells streams apart; Airbyte's points lack it
RECORD_ID = "_ab_record_id"  #      as Airbyte's connector writes it (append_dedup)
RECORD_KEY = "_ab_record_key"  #    canonical key, where the catalog has one
GENERATION_ID = "_ab_generation_id"
SYNC_ID = "_ab_sync_id"
RUN_ID = "_ab_run_id"  #            which run wrote the point
LOADED_AT = "_ab_loaded_at"  #      when the run that wrote the point began, in milliseconds
EXTRACTED_AT = "_ab_extracted_at"  # when the source read the record, RFC 3339
CURSOR = "_ab_cursor"  #            cursor value as exact text
CHUNK_INDEX = "_ab_chunk_index"
CHUNK_COUNT = "_ab_chunk_count"
CONTENT_HASH = "_ab_content_hash"  # of model and text: equal hashes mean equal vectors
RECORD_HASH = "_ab_record_hash"  #  of all that is stored of a record (append_dedup): equal means unchanged
NOTE = "_ab_note"  #                of the one point that is no record's: what the connector notes of the collection
META = "_ab_meta"  #                {"changes": […]}: what the record lost on the way

#: Columns of a source may not have these names in a payload.
RESERVED = frozenset(
    {
        STREAM,
        NAMESPACE,
        RECORD_ID,
        RECORD_KEY,
        GENERATION_ID,
        SYNC_ID,
        RUN_ID,
        LOADED_AT,
        EXTRACTED_AT,
        CURSOR,
        CHUNK_INDEX,
        CHUNK_COUNT,
        CONTENT_HASH,
        RECORD_HASH,
        META,
        NOTE,
    }
)
