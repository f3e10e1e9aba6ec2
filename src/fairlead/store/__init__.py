"""Stores: where intents and the model live on."""
