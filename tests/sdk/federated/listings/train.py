# Listings 7 and 8 of the paper as they stand there; only the imports are ours. Run as a process of its own
# by tests/sdk/federated/test_listings.py.
# ruff: noqa
# fmt: off
import time

import torch as th
from setting import auth_token, grid_address as gridAddress, model_name, model_version, train_set

from syft_ext import FLClient, FLJob

th.manual_seed(7)
cycles_log = []
status = {"ended": False}


# -- Listing 7 -----------------------------------------------------------------------------------------
def on_accepted(job: FLJob):
    print(f"Accepted into cycle {len(cycles_log) + 1}!")
    # Recupera configurações de treinamento predefinido
    cycle_params = job.client_config
    batch_size = cycle_params["batch_size"]
    max_updates = cycle_params["max_updates"]
    # Recupera algoritmo de treinamento e peso do modelo global atual.
    training_plan, model_params = job.plans["training_plan"], job.model
    losses, accuracies = [], []
    # Prepara dados locais para treinamento
    train_loader = th.utils.data.DataLoader(
        train_set, batch_size=batch_size, drop_last=True, shuffle=True
    )
    # Executa algoritmo de treinamento predefinido.
    for batch_idx, (x, y) in enumerate(train_loader):
        y = th.nn.functional.one_hot(y, 10)
        (model_params,) = training_plan(xs=x, ys=y, params=model_params)
        if batch_idx >= max_updates - 1:
            break
    # Retorna os pesos do modelo local ao final do ciclo.
    job.report(model_params)
    # Salva métricas locais
    cycles_log.append((losses, accuracies))


# Evento executado quando recusado em um ciclo de treinamento.
def on_rejected(job: FLJob, timeout):
    if timeout is None:
        print(f"FL training is done)")
    else:
        print(f"Rejected from cycle with timeout: {timeout}")
    status["ended"] = True


# Evento executado para tratamento de erros.
def on_error(job: FLJob, error: Exception):
    print(f"Error: {error}")
    status["ended"] = True


# -- Listing 8 -----------------------------------------------------------------------------------------
def create_client_and_run_cycle():
    # Conexão com a aplicação Domain
    client = FLClient(
        url=gridAddress,
        auth_token=auth_token,
        secure=False
    )
    # Autenticação de dispositivo
    client.worker_id = client.grid_worker.authenticate(
        client.auth_token, model_name, model_version
    )["data"]["worker_id"]
    job = client.new_job(model_name, model_version)
    # Configura eventos assíncronos.
    job.add_listener(job.EVENT_ACCEPTED, on_accepted)
    job.add_listener(job.EVENT_REJECTED, on_rejected)
    job.add_listener(job.EVENT_ERROR, on_error)
    # Shoot!
    job.start()


# Execução do treinamento
while not status["ended"]:
    create_client_and_run_cycle()
    time.sleep(1)
