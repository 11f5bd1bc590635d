"""Applications for credit: checks, review, documents, and what an approval opens."""
