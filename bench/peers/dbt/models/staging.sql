{{ var("aggregation") }}
