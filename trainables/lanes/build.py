"""Which network trains a group's trials."""

from __future__ import annotations

from trainables.device_data import DeviceData
from trainables.lanes.activations import ACTIVATIONS
from trainables.lanes.bank import Bank
from trainables.lanes.blueprint import Blueprint
from trainables.lanes.conv import ConvNetwork
from trainables.lanes.losses import build_stacked_loss
from trainables.lanes.mlp import MlpNetwork
from trainables.lanes.modules.blueprint import ModuleBlueprint
from trainables.lanes.modules.network import ModuleNetwork
from trainables.lanes.network import LaneNetwork
from trainables.lanes.products import Products


def build_network(
    blueprint: Blueprint | ModuleBlueprint, bank: Bank, data: DeviceData, *, products: Products
) -> LaneNetwork:
    """Return the network of a stack over the numbers of ``bank``."""
    loss = build_stacked_loss(blueprint.key.loss, data.task)
    if isinstance(blueprint, ModuleBlueprint):
        return ModuleNetwork(blueprint, bank, data.x_train, loss=loss)
    if blueprint.key.channels is not None:
        return ConvNetwork(blueprint, bank, data.x_train, rounded=products.rounded, loss=loss)
    activation = ACTIVATIONS[blueprint.key.activation]
    return MlpNetwork(blueprint.layout, bank, data.x_train, activation=activation, products=products, loss=loss)
