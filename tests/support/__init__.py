"""What tests share: the oracle, random shops and rules, servers, and clients."""
