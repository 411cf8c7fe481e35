"""An overlay into a cluster, in order: what is needed, then tables and topics, then one service after the other."""
