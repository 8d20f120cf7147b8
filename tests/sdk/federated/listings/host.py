# Listings 4, 5 and 6 of the paper, and the hosting of section 4.1.4, as they stand there; only the imports
# are ours. Run as a process of its own by tests/sdk/federated/test_listings.py.
# ruff: noqa
# fmt: off
import torch as th
from setting import MLP, grid_address

from syft_ext import (
    Int,
    List,
    ModelCentricFLClient,
    ROOT_CLIENT,
    make_plan,
    set_remote_model_params,
)

th.manual_seed(42)
bs, classes_num = 64, 10

# 1 - Definir arquitetura do modelo
local_model = MLP(th)
model_params_zeros = List([th.zeros_like(param) for param in local_model.parameters()])


# -- Listing 4 -----------------------------------------------------------------------------------------
# 2 - Algoritmo de treinamento a ser
# executado pelos dispositivos.
@make_plan
def training_plan(
    xs=th.randn(bs, 28 * 28),
    ys=th.nn.functional.one_hot(
        th.randint(
            0,
            classes_num,
            [bs]), classes_num),
    batch_size=th.tensor([bs]),
    lr=th.tensor([0.1]),
    params=model_params_zeros,
):
    model = local_model.send(
        ROOT_CLIENT,
        send_parameters=False)
    # Substituição de parâmetro locais
    # por suas versões remotas.
    set_remote_model_params(model.modules, params)
    # forward
    logits = model(xs)
    # loss
    loss,loss_grad = model.softmax_cross_entropy_with_logits(
        logits, ys, batch_size
    )
    # backward
    grads = model.backward(xs, loss_grad)
    # SGD step
    updated_params = tuple(
        param - lr * grad
        for param, grad in zip(
            model.parameters(),
            grads)
    )
    # accuracy
    acc = model.accuracy(logits, ys, batch_size)
    return (loss, acc, *updated_params)


# -- Listing 5 -----------------------------------------------------------------------------------------
@make_plan
def avg_plan(
    avg=List(local_model.parameters()),
    item=List(local_model.parameters()), num=Int(0)
):
    new_avg = []
    for i, param in enumerate(avg):
        new_avg.append(
            (avg[i] * num + item[i]) / (num + 1)
        )
    return new_avg


# -- Listing 6 -----------------------------------------------------------------------------------------
name = "mnist"
version = "1.0"
# Configurações gerais de dispositivos (workers)
client_config = {
    # Nome da rotina de treino
    "name": name,
    # Versão do modelo
    "version": version,
    # Tamanho do batch
    "batch_size": 64,
    # Taxa de aprendizagem
    "lr": 0.01,
    # Limite de atualizações de modelo por worker
    "max_updates": 100,
}
# Configurações gerais de servidor (domain)
server_config = {
    # Número total de ciclos
    "num_cycles": 30,
    # Limiar de tempo de resposta para cada ciclo.
    "cycle_length": 60*60*24,
    # Ciclos executados por atualização do modelo global.
    "max_diffs": 1,
    # Limiar de aceitação (taxa de upload)
    "minimum_upload_speed": 0,
    # Limiar de aceitação (taxa de download)
    "minimum_download_speed": 0,
    # Execução assíncrona / iterativa
    "iterative_plan": True,
}

# -- Section 4.1.4 -------------------------------------------------------------------------------------
# Conexão com a Aplicação "Domain"
grid = ModelCentricFLClient(address=grid_address, secure=False)
grid.connect()
# Registro da rotina de treinamento.
response = grid.host_federated_training(
    model=local_model,
    client_plans={
        "training_plan": training_plan,
    },
    client_protocols={},
    server_averaging_plan=avg_plan,
    client_config=client_config,
    server_config=server_config,
)
print("hosted", response)
