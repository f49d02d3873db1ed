"""The measures of an evaluation: error rates, distortion, prosody, speaker similarity, predicted opinion, size."""
