"""The contract of legacy PtychoPINN code: flat parameters, grouped data, workflow functions, bundles."""
