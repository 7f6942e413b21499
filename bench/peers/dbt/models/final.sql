SELECT * FROM {{ ref("staging") }}
