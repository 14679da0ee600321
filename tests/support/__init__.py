"""What several tests share: small worlds, workspaces, servers, samples."""
